"""The counts and the soak on docs/reliability.md, rendered from records/reliability/*.json.

Command:   python -m tools.docs
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.soak import PANELS
from tools.docs.marks import placed

ROOT = Path(__file__).resolve().parents[2]

STORED = ROOT / "records" / "reliability"
PAGE = ROOT / "docs" / "reliability.md"
FAULTS = {  # what is injected: by which modules of tests
    "signals, second processes in a folder": ("stopping",),
    "full, read-only, damaged disks; films that vanish or are replaced": ("storage",),
    "damaged checkpoints": ("checkpoint",),
    "damaged and vanished shards of streamed films": ("shards",),
    "losses that are not finite": ("loop",),
    "processes of a job that are killed or told to stop": ("processes",),
}
# Of what is watched in a soak, between its second and its last quarter: an allocator that settles
# adds 3 %, the leak of 200 bytes an array that was found so added 33 %.
GROWTH = 0.1
EARLIER = "fuzz_a96fade.json"
HEADINGS = ("what was done", "how often", "what was lost or wrong", "command", "figures")


def kills(found: dict[str, Any]) -> tuple[str, str, str]:
    """SIGKILLs by phase, and rounds that ended otherwise."""
    phases = Counter(kill["phase"] for kill in found["kills"])
    least = min(phases.values())
    return (
        f"trainings killed at random instants, each of {len(phases)} phases {least} times or more",
        f"{len(found['kills'])} kills in {found['rounds']} rounds",
        _none(len(found["different"]), "that ended otherwise than undisturbed"),
    )


def faults(found: dict[str, Any], modules: Sequence[str], what: str) -> tuple[str, str, str]:
    """Tests of the faults that some modules of tests inject."""
    tests = [row for row in found["tests"] if row["module"] in modules]
    ran = [row for row in tests if row["outcome"] != "skipped"]
    failed = sum(row["outcome"] == "failed" for row in ran)
    count = f"{len(ran)} test{'s' * (len(ran) != 1)}"
    return what, count, _none(failed, "that ended otherwise than told below")


def fuzzed(found: dict[str, Any]) -> tuple[str, str, str]:
    """Generated and damaged inputs to one reader."""
    return (
        f"generated and damaged inputs, road “{found['road']}”",
        f"{found['executions']:,} inputs",
        _none(len(found["broken"]), "that broke it"),
    )


def found_again(found: dict[str, Any]) -> tuple[str, str, str]:
    """The known defects of an earlier commit, which the fuzzer must find there."""
    known = len(found["found"])
    numbers = [row["input"] for row in found["found"] if row["input"] is not None]
    missed = known - len(numbers)
    return (
        f"the fuzzer run on commit {found['commit']}, which had {known} known defects",
        f"{len(numbers)} found, the last at input {max(numbers, default=0):,} of its road",
        _none(missed, "that it missed"),
    )


def soaked(found: dict[str, Any]) -> tuple[str, str, str]:
    """Hours of training under watch; what grew by more than `GROWTH` stands out.

    Not since the first quarter, in which things are opened and used for the first time.
    """
    grown = [
        f"{title}, by {last / before - 1:.0%}"
        for name, title in PANELS.items()
        for before, last in [found["quarters"][name][1::2]]
        if last > (1 + GROWTH) * before
    ]
    return (
        "training without a pause, a validation and a checkpoint each epoch",
        f"{found['hours']:.1f} hours, {found['steps']:,} steps, {found['epochs']:,} epochs",
        f"**grew: {'; '.join(grown)}**"
        if grown
        else "memory, open files, threads, time of a step: none that grows ([hours](#hours))",
    )


def soak_table(found: dict[str, Any]) -> str:
    """Medians of the quarters of each curve."""
    lines = [("median of", "first quarter", "second", "third", "last"), ("---",) * 5]
    for name, title in PANELS.items():
        lines.append((title, *(f"{value:,.4g}" for value in found["quarters"][name])))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _none(count: int, what: str) -> str:
    return f"none {what}" if not count else f"**{count}** {what}"


def rows(folder: Path) -> list[tuple[str, ...]]:
    """A row for each kind of harm, from the stored records."""
    lines: list[tuple[str, ...]] = []

    def add(path: Path, command: str, read: Callable[[Any], tuple[str, str, str]]) -> None:
        found = json.loads(path.read_text())
        lines.append((*read(found), command.format(**found), f"[JSON](../records/reliability/{path.name})"))

    add(folder / "kills.json", "`python -m tests.support.kills --kills=200 --out=<folder>`", kills)
    for what, modules in FAULTS.items():
        read = partial(faults, modules=modules, what=what)
        add(folder / "faults.json", "`python -m tests.support.faults`", read)
    add(folder / "soak.json", "`python -m benchmarks.soak --hours={hours:.0f} --out=<folder>`", soaked)
    earlier = folder / EARLIER
    fuzz = "`python -m tests.support.fuzz --road={road} --executions={executions} --out=<folder>`"
    for path in sorted(set(folder.glob("fuzz_*.json")) - {earlier}):
        add(path, fuzz, fuzzed)
    add(earlier, "benchmarks/fuzz_defects.py of commit 5a34f11, since deleted", found_again)
    return lines


def markdown(folder: Path) -> str:
    """The table."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *rows(folder)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def rendered(folder: Path) -> dict[str, str]:
    """{mark on the page: what stands there}."""
    soak = json.loads((folder / "soak.json").read_text())
    return {"counts": markdown(folder), "soak": soak_table(soak)}


def main() -> None:
    """See the module's docstring."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(placed(PAGE.read_text(), rendered(STORED)))


if __name__ == "__main__":
    main()
