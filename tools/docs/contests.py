"""The tables of the contests against other libraries, which `benchmarks/against_peers.py` runs."""

import json
from pathlib import Path
from typing import Any

from benchmarks.contest_summary import OURS, TITLES, cells, versions
from tools.docs import scaling
from tools.docs.marks import table
from tools.docs.places import PERFORMANCE

NOTES = {
    "input": " Memory is that of the main process; PyTorch's two loader processes come on top.",
    "startup": " Compared with the fastest peer in the same state of compilation caches.",
}


def rendered() -> str:
    """Renders every stored contest, then the scaling."""
    return markdown(PERFORMANCE) + "\n" + scaling.rendered()


def markdown(folder: Path) -> str:
    """Renders a section for each contest that is stored in a folder."""
    parts = []
    for contest, title in TITLES.items():
        path = folder / f"{contest}.json"
        if path.exists():
            result = json.loads(path.read_text())
            parts.append(
                f"### {title}\n\n{table(*cells(result))}\n"
                f"`{result['command']}`, {result['date']}, {result['hardware']}; "
                f"{versions(result)}; [JSON](../records/performance/{contest}.json)."
                f"{NOTES.get(contest, '')}{_compiling(result)}\n"
            )
    return "\n".join(parts)


def _compiling(result: dict[str, Any]) -> str:
    """Says how long our step takes to compile, if that was measured with and without the cache."""
    ours = result["contestants"].get(OURS, {})
    if "compile_seconds_cached" not in ours:
        return ""
    cold, cached = ours["compile_seconds"], ours["compile_seconds_cached"]
    return f" {OURS} compiles its step in {cold:.1f} s, and takes {cached:.1f} s from its cache."
