"""The counts at the head of docs/reliability.md, rendered from docs/reliability/*.json.

Command:   python benchmarks/reliability_page.py
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.performance_page import placed  # noqa: E402

STORED = ROOT / "docs" / "reliability"
PAGE = ROOT / "docs" / "reliability.md"
HEADINGS = ("what was done", "how often", "what was lost or wrong", "command", "figures")


def kills(found: dict[str, Any]) -> tuple[str, str, str]:
    """SIGKILLs by phase, and rounds that ended otherwise."""
    phases = Counter(kill["phase"] for kill in found["kills"])
    least = min(phases.values())
    return (
        f"trainings killed at random instants, each of {len(phases)} phases {least} times or more",
        f"{len(found['kills'])} kills in {found['rounds']} rounds",
        _none(len(found["different"]), "rounds that ended otherwise than undisturbed"),
    )


def faults(found: dict[str, Any]) -> tuple[str, str, str]:
    """Tests of signals, disks, damaged files and lost processes."""
    ran = [row for row in found["tests"] if row["outcome"] != "skipped"]
    failed = sum(row["outcome"] == "failed" for row in ran)
    return (
        "faults injected: signals, full and read-only disks, damaged files, lost processes",
        f"{len(ran)} tests",
        _none(failed, "that did not end as told below"),
    )


def fuzzed(found: dict[str, Any]) -> tuple[str, str, str]:
    """Damaged inputs to one reader."""
    return (
        f"damaged inputs, road “{found['road']}”",
        f"{found['executions']:,} inputs",
        _none(len(found["broken"]), "that broke it"),
    )


def soaked(found: dict[str, Any]) -> tuple[str, str, str]:
    """Hours of training under watch."""
    first, *_, last = found["quarters"]["megabytes"]
    return (
        "training without a pause, a validation and a checkpoint each epoch",
        f"{found['hours']:.1f} hours, {found['steps']:,} steps, {found['epochs']:,} epochs",
        f"memory {first:,.0f} MB in the first quarter, {last:,.0f} MB in the last",
    )


def _none(count: int, what: str) -> str:
    return f"none {what}" if not count else f"**{count}** {what}"


def rows(folder: Path) -> list[tuple[str, ...]]:
    """A row for each stored record that there is."""
    readers = {
        "kills": (kills, "python benchmarks/kills.py --kills=200 --out=<folder>"),
        "faults": (faults, "python benchmarks/faults.py"),
        "soak": (soaked, "python benchmarks/soak.py --hours=2 --out=<folder>"),
    }
    for path in sorted(folder.glob("fuzz_*.json")):
        found = json.loads(path.read_text())
        command = f"python benchmarks/fuzz.py --road={found['road']}"
        command += f" --executions={found['executions']} --out=<folder>"
        readers[path.stem] = (fuzzed, command)
    lines = []
    for name, (read, command) in readers.items():
        path = folder / f"{name}.json"
        if path.exists():
            cells = read(json.loads(path.read_text()))
            lines.append((*cells, f"`{command}`", f"[JSON](reliability/{path.name})"))
    return lines


def markdown(folder: Path) -> str:
    """The table."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *rows(folder)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """See the module's docstring."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(placed(PAGE.read_text(), {"counts": markdown(STORED)}))


if __name__ == "__main__":
    main()
