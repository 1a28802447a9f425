"""The counts on docs/reliability.md, rendered from records/reliability."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.soak import PANELS
from tools.docs import soak
from tools.docs.marks import table
from tools.docs.places import RELIABILITY

FAULTS = {  # title -> the test modules that inject these faults
    "signals, second processes in a folder": ("stopping",),
    "full, read-only, damaged disks; films that vanish or are replaced": ("storage",),
    "damaged checkpoints": ("checkpoint",),
    "damaged and vanished shards of streamed films": ("shards",),
    "losses that are not finite": ("loop",),
    "processes of a job that are killed or told to stop": ("processes",),
}
# A curve of the soak may grow by this share between its second and its last quarter. A settling
# allocator adds 3 %; a leak of 200 bytes for each array, found by a soak, added 33 %.
GROWTH = 0.1
EARLIER = "fuzz_a96fade.json"
HEADINGS = ("what was done", "how often", "how many went wrong", "command", "figures")
KILLS = "`python -m tests.support.kills --kills=200 --out=<folder>`"
SOAK = "`python -m benchmarks.soak --hours={hours:.0f} --out=<folder>`"
FUZZ = "`python -m tests.support.fuzz --target={target} --executions={executions} --out=<folder>`"
Reading = tuple[str, str, str]  # the first three cells of a row


def kills(found: dict[str, Any]) -> Reading:
    """Counts SIGKILLs by phase, and the rounds that ended differently from an undisturbed run."""
    phases = Counter(kill["phase"] for kill in found["kills"])
    least = min(phases.values())
    return (
        f"trainings killed at random instants, each of {len(phases)} phases {least} times or more",
        f"{len(found['kills'])} kills in {found['rounds']} rounds",
        _none(len(found["different"]), "ended differently from an undisturbed run"),
    )


def faults(found: dict[str, Any], modules: Sequence[str], title: str) -> Reading:
    """Counts the tests of some test modules that inject faults."""
    tests = [row for row in found["tests"] if row["module"] in modules]
    ran = [row for row in tests if row["outcome"] != "skipped"]
    failed = sum(row["outcome"] == "failed" for row in ran)
    count = f"{len(ran)} test{'s' * (len(ran) != 1)}"
    return title, count, _none(failed, "ended differently from the description below")


def fuzzed(found: dict[str, Any]) -> Reading:
    """Counts the inputs that the fuzzer gave to one reader."""
    return (
        f"generated and damaged inputs, target “{found['target']}”",
        f"{found['executions']:,} inputs",
        _none(len(found["broken"]), "broke the reader"),
    )


def found_again(found: dict[str, Any]) -> Reading:
    """Counts the known defects of an earlier commit that the fuzzer found there."""
    known = len(found["found"])
    numbers = [row["input"] for row in found["found"] if row["input"] is not None]
    missed = known - len(numbers)
    return (
        f"the fuzzer run on commit {found['commit']}, which had {known} known defects",
        f"{len(numbers)} found, the last at input {max(numbers, default=0):,} of its target",
        _none(missed, "missed"),
    )


def soaked(found: dict[str, Any]) -> Reading:
    """Names the curves of the soak that grew by more than `GROWTH`.

    The first quarter is left out, because a process opens and allocates many things on first use.
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
        else "none of memory, open files, threads and time of a step grows ([hours](#hours))",
    )


def _none(count: int, what: str) -> str:
    return f"none {what}" if not count else f"**{count}** {what}"


def rows(folder: Path) -> list[tuple[str, ...]]:
    """Makes a row for each kind of failure that was tested and recorded in a folder."""
    lines: list[tuple[str, ...]] = []

    def add(path: Path, command: str, read: Callable[[Any], Reading]) -> None:
        found = json.loads(path.read_text())
        link = f"[JSON](../records/reliability/{path.name})"
        lines.append((*read(found), command.format(**found), link))

    add(folder / "kills.json", KILLS, kills)
    for title, modules in FAULTS.items():
        read = partial(faults, modules=modules, title=title)
        add(folder / "faults.json", "`python -m tests.support.faults`", read)
    add(folder / "soak.json", SOAK, soaked)
    earlier = folder / EARLIER
    for path in sorted(set(folder.glob("fuzz_*.json")) - {earlier}):
        add(path, FUZZ, fuzzed)
    add(earlier, "benchmarks/fuzz_defects.py of commit 5a34f11, since deleted", found_again)
    return lines


def counts() -> str:
    """Renders the table of all kinds of failure."""
    return table(HEADINGS, rows(RELIABILITY))


def quarters_of_the_soak() -> str:
    """Renders the medians of the soak."""
    return soak.render(json.loads(soak.STORED.read_text()))
