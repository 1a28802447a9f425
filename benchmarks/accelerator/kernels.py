"""Reads the time of each kernel from a trace in Chrome's format, as JAX's profiler writes it."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Lines of a GPU's process that repeat or sum up the kernels of its streams.
_SUMMARIES = ("XLA Modules", "XLA Ops", "XLA TraceMe", "Framework", "Source code", "Steps")


@dataclass(frozen=True)
class Kernel:
    """One kernel, or one XLA operation on a CPU, summed over the whole trace.

    operation: the HLO operation that launched it, or "".
    """

    name: str
    operation: str
    calls: int
    seconds: float
    share: float  # of the time of all kernels


def longest_kernels(events: Iterable[Mapping[str, Any]], count: int) -> list[Kernel]:
    """The `count` longest of a trace's events, the longest first.

    On a GPU, kernels are the events on the stream lines of processes named "/device:GPU:<n>". A
    trace without such a process is one of a CPU, where the events of XLA operations are taken.
    """
    events = list(events)
    devices, lines = _names(events)
    on_gpu = any(name.startswith("/device:GPU:") for name in devices.values())
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("ph") != "X" or not isinstance(event.get("dur"), int | float):
            continue
        process, line = event.get("pid"), (event.get("pid"), event.get("tid"))
        arguments = event.get("args") or {}
        operation = str(arguments.get("hlo_op", ""))
        if on_gpu:
            is_kernel = devices.get(process, "").startswith("/device:GPU:")
            is_kernel = is_kernel and not lines.get(line, "").startswith(_SUMMARIES)
        else:
            is_kernel = bool(operation)
        if is_kernel:
            sums[str(event.get("name", "")), operation].append(event["dur"] / 1e6)
    total = sum(map(sum, sums.values())) or 1.0
    ranked = sorted(sums.items(), key=lambda item: -sum(item[1]))[:count]
    return [
        Kernel(name, operation, len(took), sum(took), sum(took) / total)
        for (name, operation), took in ranked
    ]


def _names(
    events: Iterable[Mapping[str, Any]],
) -> tuple[dict[Any, str], dict[tuple[Any, Any], str]]:
    """Names of processes by id, and of their lines by the ids of process and thread."""
    processes, lines = {}, {}
    for event in events:
        if event.get("ph") != "M":
            continue
        name = str((event.get("args") or {}).get("name", ""))
        if event.get("name") == "process_name":
            processes[event.get("pid")] = name
        elif event.get("name") == "thread_name":
            lines[event.get("pid"), event.get("tid")] = name
    return processes, lines


def read_events(trace: Path) -> list[dict[str, Any]]:
    """The events of a file `<host>.trace.json.gz`."""
    with gzip.open(trace, "rt", encoding="utf-8") as stream:
        return [event for event in json.load(stream)["traceEvents"] if event]
