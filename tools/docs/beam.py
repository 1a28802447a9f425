"""The tables of docs/beam.md: speed and memory of both verbs, and the killed worker."""

import json
from typing import Any

from tools.docs.marks import table
from tools.docs.places import PERFORMANCE

STORED = PERFORMANCE / "beam.json"
VERBS = ("beam-ingest", "beam-predict")
LINK = "[JSON](../records/performance/beam.json)"


def rendered() -> str:
    """Renders films/s by number of workers, and peak memory by number of films."""
    found = json.loads(STORED.read_text())
    speed, memory = found["speed"], found["memory"]
    return (
        f"Films per second of {speed['films']:,} drawn films, from the start of the command to its "
        f"end, with the network {speed['network']}:\n\n{_speed(speed['runs'])}\n"
        f"Peak memory in MB with two workers, of the largest process of each kind, with the "
        f"network {memory['network']}:\n\n{_memory(memory['runs'])}\n"
        f"{found['hardware']}; {LINK}."
    )


def _speed(runs: dict[str, Any]) -> str:
    rows = [
        (f"`{verb}`", *(f"{runs[f'{verb}, workers={n}']['films_per_second']:.0f}" for n in (1, 2)))
        for verb in VERBS
    ]
    return table(("command", "one worker", "two workers"), rows)


def _memory(runs: dict[str, Any]) -> str:
    rows = []
    for name, run in runs.items():
        verb, films = name.split(", films=")
        peaks = [f"{run['peaks_mb'][kind]:,.0f}" for kind in ("launcher", "worker", "decoder")]
        rows.append((f"`{verb}`", f"{int(films):,}", f"{run['seconds']:,.0f}", *peaks))
    heading = ("command", "films", "seconds", "launcher", "worker of Beam", "decoder")
    return table(heading, sorted(rows, key=lambda row: row[0]))


def killed() -> str:
    """Says what became of a prediction in which a worker was killed."""
    found = json.loads(STORED.read_text())["killed"]
    same = "exactly the rows" if found["equals_one_process"] else "other rows than those"
    return (
        f"In a prediction of {found['films']:,} drawn films on two workers, one was killed when "
        f"{found['shards_when_killed']} of {found['shards']} shards were written. All shards "
        f"together held {same} that `predict` wrote in one process, digit for digit: "
        f"{found['rows']:,} rows of {found['different_films']:,} different films. {LINK}."
    )
