"""The tables of docs/performance.md, rendered from the measured JSON in records/performance.

Command:   python -m tools.docs --write
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools.docs.marks import PAGE, placed

ROOT = Path(__file__).resolve().parents[2]

RESULTS = ROOT / "records" / "performance"
OURS, PEAK = "PneumoJAX", "float32 matrix product"
BESIDE = ("ONNX Runtime", "JAX, stock")
TITLES = {
    "train_step": "Training step, batch 64",
    "inception_v3": "Training step of Inception-v3, batch 16 at 299 pixels",
    "inference": "Inference, batches of 64",
    "latency": "Inference, one film",
    "input": "Films from disk to batches of 150 pixels",
    "startup": "Process start to the end of the first step",
}
NOTES = {
    "input": " Memory is that of the main process; PyTorch's two loader processes come on top.",
    "startup": " Compared with the fastest peer in the same state of compilation caches.",
}
FILMS = {"train_step": 64, "inception_v3": 16, "inference": 128, "latency": 1}


def summary(contest: str, rounds: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each contestant.

    `ratio` is how many times as fast as the fastest peer it was: the median over rounds of that
    peer's seconds by its own; at start-up the fastest in the same state of caches. Peers are Keras
    and PyTorch. Beside them stand ONNX Runtime, which cannot train, and stock JAX.
    `share_of_peak` compares its arithmetic with the matrix product of the same round.
    """
    medians = {name: statistics.median(r["seconds"]) for name, r in rounds.items() if r["seconds"]}
    peers = [name for name in medians if not name.startswith((OURS, PEAK, *BESIDE))]
    flops = rounds.get(OURS, {}).get("flops")
    rows = []
    for name, result in rounds.items():
        row: dict[str, Any] = {"contestant": name, "versions": result.get("versions", "")}
        seconds = result["seconds"]
        if not seconds:
            rows.append(row | {"error": result.get("error", "no round")})
            continue
        quartiles = np.quantile(seconds, [0.25, 0.75]).tolist()
        row |= {"median_seconds": medians[name], "quartiles": quartiles}
        row["peak_bytes"] = result.get("peak_bytes")
        if name == PEAK:
            row["gflops"] = result["flops"] / medians[name] / 1e9
        else:
            state = name.rsplit(", ")[-1] if contest == "startup" else ""
            rivals = [peer for peer in peers if peer.endswith(state)]
            if best := min(rivals, key=medians.__getitem__, default=None):
                row["ratio"] = _median_ratio(rounds[best]["seconds"], seconds)
            if flops and rounds.get(PEAK, {}).get("seconds"):
                products = rounds[PEAK]["seconds"]
                ideal = [flops / rounds[PEAK]["flops"] * product for product in products]
                row["share_of_peak"] = _median_ratio(ideal, seconds)
        rows.append(row)
    return rows


def _median_ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def table(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells, of a result as `against_peers.py` writes it."""
    contest, films = result["contest"], FILMS.get(result["contest"])
    unit = {"train_step": "s a step", "inception_v3": "s a step", "latency": "ms"}.get(contest, "s")
    scale = 1e3 if contest == "latency" else 1
    headings = ["", f"median {unit} (quartiles)", "films/s", "times the fastest peer"]
    headings += ["share of peak", "peak memory, GB"]
    if contest == "startup":
        headings = [*headings[:2], headings[3]]
    films = films or result.get("films")
    cells = []
    for row in result["summary"]:
        if "error" in row:
            cells.append([row["contestant"], row["error"], *[""] * (len(headings) - 2)])
            continue
        median, (low, high) = row["median_seconds"], row["quartiles"]
        line = [
            row["contestant"],
            f"{median * scale:.3g} ({low * scale:.3g} to {high * scale:.3g})",
        ]
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        if contest == "startup":
            cells.append([*line, ratio])
            continue
        peak = f"{row['share_of_peak']:.0%}" if "share_of_peak" in row else ""
        if "gflops" in row:
            peak = f"{row['gflops']:.0f} GFLOP/s"
        rate = films / median if films else 0
        speed = f"{rate:,.{0 if rate >= 10 else 1}f}" if rate and "gflops" not in row else ""
        memory = f"{row['peak_bytes'] / 1e9:.2f}" if row["peak_bytes"] else ""
        cells.append([*line, speed, ratio, peak, memory])
    used = [i for i in range(len(headings)) if i < 2 or any(line[i] for line in cells)]
    return [headings[i] for i in used], [[line[i] for i in used] for line in cells]


def _versions(result: dict[str, Any]) -> str:
    return ", ".join(dict.fromkeys(r["versions"] for r in result["summary"] if r["versions"]))


def _compiling(result: dict[str, Any]) -> str:
    """A sentence on how long our step takes to compile, where that was measured both ways."""
    ours = result["contestants"].get(OURS, {})
    if "compile_seconds_cached" not in ours:
        return ""
    cold, cached = ours["compile_seconds"], ours["compile_seconds_cached"]
    return f" {OURS} compiles its step in {cold:.1f} s, and takes {cached:.1f} s from its cache."


def terminal_table(result: dict[str, Any]) -> None:
    """Prints a result."""
    headings, cells = table(result)
    drawn = Table(*headings, title=TITLES[result["contest"]], caption=_versions(result))
    for line in cells:
        drawn.add_row(*map(escape, line))
    Console().print(drawn)


def markdown(folder: Path = RESULTS) -> str:
    """What stands between the page's marks."""
    parts = []
    for contest, title in TITLES.items():
        path = folder / f"{contest}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        parts.append(
            f"### {title}\n\n{_lines(*table(result))}\n"
            f"`{result['command']}`, {result['date']}, {result['hardware']}; "
            f"{_versions(result)}; [JSON](../records/performance/{contest}.json).{NOTES.get(contest, '')}"
            f"{_compiling(result)}\n"
        )
    path = folder / "scaling.json"
    if path.exists():
        parts.append(scaling_markdown(json.loads(path.read_text())))
    return "\n".join(parts)


def scaling_markdown(result: dict[str, Any]) -> str:
    """The points of `benchmarks/scaling.py`: a table for steps, one for starts."""
    steps, starts = [], []
    states: list[str] = []
    for curve, points in result["points"].items():
        for x, point in sorted(points.items(), key=lambda item: int(item[0])):
            shape = {"batch": "64", "image_size": "150"} | {curve: x}
            label = [f"{int(x):,}"] if curve == "films" else [shape["batch"], shape["image_size"]]
            if "error" in point:
                (starts if curve == "films" else steps).append([*label, point["error"]])
            elif curve == "films":
                states = list(point["seconds"])
                starts.append([*label, *(f"{s:.1f}" for s in point["seconds"].values())])
            else:
                median = point["median_seconds"]
                gflops, films = point["flops"] / median / 1e9, int(shape["batch"]) / median
                memory = f"{point['peak_bytes'] / 1e9:.2f}"
                steps.append([*label, f"{median:.3g}", f"{films:,.0f}", f"{gflops:.0f}", memory])
    text = "### Scaling\n\n"
    if steps or any(states):
        text += "![Seconds a step and a start against what they grow with](images/scaling.png)\n\n"
    if steps:
        text += _lines(
            ["batch", "pixels", "median s a step", "films/s", "GFLOP/s", "peak memory, GB"], steps
        )
    if starts:
        text += "\nSeconds from the start of `main.py` to its first finished step, once each, by "
        text += "what its cache folder holds:\n\n" + _lines(["films", *states], starts)
    date = max(p["date"] for points in result["points"].values() for p in points.values())
    text += f"\n`{result['command']}`, {date}, {result['hardware']}; "
    return text + "[JSON](../records/performance/scaling.json).\n"


def _lines(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A Markdown table; short lines are filled up."""
    full = [[*line, *[""] * (len(headings) - len(line))] for line in cells]
    lines = [headings, ["---"] * len(headings), *full]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    if parser.parse_args().write:
        PAGE.write_text(placed(PAGE.read_text(), {"benchmarks": markdown()}))
    else:
        print(markdown())


if __name__ == "__main__":
    main()
