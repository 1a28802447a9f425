"""The tables of the contests against other libraries, which `benchmarks/against_peers.py` runs."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contest_summary import (
    BESIDE,
    FILMS,
    OURS,
    PEAK,
    TITLES,
    cells,
    median_ratio,
    versions,
)
from tools.docs import scaling
from tools.docs.marks import table
from tools.docs.places import PERFORMANCE

NOTES = {
    "input": " Memory is that of the main process; PyTorch's two loader processes come on top.",
    "startup": " Compared with the fastest peer in the same state of compilation caches.",
}


KINDS = {"avx2": "AVX2", "avx512": "AVX-512"}  # folder of records -> kind of core


def rendered() -> str:
    """Renders every stored contest, by kind of core, then the scaling."""
    return markdown(PERFORMANCE) + "\n" + scaling.rendered()


def markdown(folder: Path) -> str:
    """Renders a section for each contest, with a table for each kind of core it was run on."""
    parts = []
    for contest, title in TITLES.items():
        tables = [
            f"On cores with {name}:\n\n{table(*cells(result))}\n"
            f"`{result['command']}`, {result['date']}, {result['hardware']}; "
            f"{versions(result)}; [JSON](../records/performance/{kind}/{contest}.json)."
            f"{NOTES.get(contest, '')}{_compiling(result)}\n"
            for kind, name in KINDS.items()
            if (result := stored(folder, kind, contest))
        ]
        if tables:
            parts.append("\n".join([f"### {title}\n", *tables]))
    return "\n".join(parts)


def overview() -> str:
    """Renders one row for each contest, and a column for each kind of core."""
    lines = []
    for contest, title in TITLES.items():
        found = [stored(PERFORMANCE, kind, contest) for kind in KINDS]
        lines.append([title, *(_gained(result) if result else "not measured" for result in found)])
    for name, (title, render) in ALONE.items():
        records = [stored(PERFORMANCE, kind, name) for kind in KINDS]
        lines.append([title, *(render(found) if found else "not measured" for found in records)])
    return table(["", *KINDS.values()], lines)


def _first_answer(record: dict[str, Any]) -> str:
    """Our seconds with empty and with filled caches, and those of a bare import of JAX."""
    seconds = {name: statistics.median(found) for name, found in record["seconds"].items()}
    return (
        f"{seconds['Python, warm']:.1f} s in Python and {seconds['command line, warm']:.1f} s on "
        f"the command line, warm; {seconds['Python, cold']:.0f} s cold; importing JAX alone takes "
        f"{seconds['import jax']:.1f} s; {record['date']}"
    )


def _first_step(record: dict[str, Any]) -> str:
    """Our seconds with filled and with empty caches."""
    seconds = {state: statistics.median(found) for state, found in record["seconds"].items()}
    return f"{seconds['warm']:.1f} s warm, {seconds['cold']:.0f} s cold; {record['date']}"


def _time_to_result(record: dict[str, Any]) -> str:
    """The minutes of the whole command, and the AUROC of the validation films."""
    parts = []
    for epochs, found in record.items():
        area, low, high = found["figures"]["auroc"]
        parts.append(
            f"{found['seconds'] / 60:.0f} min with {epochs} epochs, AUROC {area:.3f} "
            f"({low:.3f} to {high:.3f}) on {found['films']} validation films, {found['date']}"
        )
    return "; ".join(parts)


# name of a record without contestants -> the title of its row, and the function that renders it
ALONE: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "first_step": ("`main.py --config=base`, from its start to its first step", _first_step),
    "first_answer": ("One film, from the start of a process to its answer", _first_answer),
    "time_to_result": (
        "The reference recipe on 5,216 films, from an empty cache to the report",
        _time_to_result,
    ),
}


def stored(folder: Path, kind: str, contest: str) -> dict[str, Any] | None:
    """The result of a contest on a kind of core, if it is in the folder."""
    path = folder / kind / f"{contest}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _gained(result: dict[str, Any]) -> str:
    """Our speed in one contest, and how many times as fast as the fastest peer that is."""
    state = ", warm" if result["contest"] == "startup" else ""
    rounds = {n: r for n, r in result["contestants"].items() if r["seconds"] and n.endswith(state)}
    row = next(r for r in result["summary"] if r["contestant"] == OURS + state)
    peers = [name for name in rounds if not name.startswith((OURS, PEAK, *BESIDE))]
    median = {name: statistics.median(r["seconds"]) for name, r in rounds.items()}
    fastest = min(peers, key=median.__getitem__).removesuffix(state)
    films = FILMS.get(result["contest"]) or result.get("films")
    speed = f"{films / median[OURS]:,.0f} films/s" if films else f"{median[OURS + state]:.1f} s"
    parts = [f"{speed}, {row['ratio']:.2f} times {fastest}"]
    if "after_pause_ratio" in row:
        parts.append(f"{row['after_pause_ratio']:.2f} after a pause")
    if onnx := rounds.get("ONNX Runtime"):
        ratio = median_ratio(onnx["seconds"], rounds[OURS]["seconds"])
        parts.append(f"{ratio:.2f} times ONNX Runtime")
    return "; ".join([*parts, result["date"]])


def _compiling(result: dict[str, Any]) -> str:
    """Says how long our step takes to compile, if that was measured with and without the cache."""
    ours = result["contestants"].get(OURS, {})
    if "compile_seconds_cached" not in ours:
        return ""
    cold, cached = ours["compile_seconds"], ours["compile_seconds_cached"]
    return f" {OURS} compiles its step in {cold:.1f} s, and takes {cached:.1f} s from its cache."
