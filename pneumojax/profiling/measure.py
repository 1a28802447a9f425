"""Times training steps in the way the training loop takes them, and records a profile of them."""

import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from pneumojax.data.pipeline import Batch
from pneumojax.profiling.devices import Peak
from pneumojax.profiling.trace import CALLS, Operation
from pneumojax.profiling.work import Work
from pneumojax.training.calls import CompiledCalls
from pneumojax.training.state import TrainState

SHOW_EVERY = 5.0  # seconds between lines of progress
STORED = 50  # operations in profile.json


@dataclass(frozen=True)
class Timing:
    """Times of consecutive steps, each from the end of one to the end of the next.

    The steps of one call share its time equally.
    """

    seconds: list[float]
    waited: float  # seconds in which no step ran because data was missing

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p90(self) -> float:
        return float(np.percentile(self.seconds, 90))

    @property
    def wait_share(self) -> float:
        return self.waited / sum(self.seconds)


@dataclass(frozen=True)
class Profile:
    """The measurements of one training step.

    provenance, input_alone, memory: as the functions of these names return them.
    device, devices: kind and number of the devices that share a step.
    steps_per_call: the steps that a call to the devices takes.
    xla_flops, xla_bytes: XLA's own counts for a step, which count the body of a loop once; None
        if it reports none.
    operations: every traced instruction, the longest first.
    """

    config: ConfigDict
    provenance: dict[str, Any]
    device: str
    devices: int
    steps_per_call: int
    compile_seconds: float
    compile_from_cache: bool
    timing: Timing
    input_alone: float
    work: Work
    xla_flops: float | None
    xla_bytes: float | None
    peak: Peak
    memory: dict[str, int | list[int]]
    operations: Sequence[Operation]

    @property
    def films_per_second(self) -> float:
        return self.config.batch_size / self.timing.median

    @property
    def flops_per_step(self) -> int:
        return self.work.step_flops(self.config.batch_size)

    @property
    def flops_per_second(self) -> float:
        return self.flops_per_step / self.timing.median

    @property
    def share_of_peak(self) -> float:
        return self.flops_per_second / self.peak.flops

    @property
    def seconds_by_direction(self) -> dict[str, float]:
        """Seconds of all operations by direction: "forward", "backward" and "other"."""
        sums = dict.fromkeys(("forward", "backward", "other"), 0.0)
        for operation in self.operations:
            sums[operation.instruction.direction] += operation.seconds
        return sums

    def to_json(self) -> dict[str, Any]:
        """The contents of profile.json, which docs/profile.md describes."""
        return self.provenance | {
            "config": self.config.to_dict(),
            "device": {"kind": self.device, "count": self.devices},
            "compile": {"seconds": self.compile_seconds, "from_cache": self.compile_from_cache},
            "steps_per_call": self.steps_per_call,
            "step": {
                "median_seconds": self.timing.median,
                "p90_seconds": self.timing.p90,
                "films_per_second": self.films_per_second,
                "seconds": self.timing.seconds,
            },
            "data": {
                "wait_share": self.timing.wait_share,
                "input_alone_films_per_second": self.input_alone,
            },
            "work": {
                "multiply_adds_per_film": asdict(self.work),
                "flops_per_step": self.flops_per_step,
                "xla_flops": self.xla_flops,
                "xla_bytes_accessed": self.xla_bytes,
            },
            "speed": {
                "flops_per_second": self.flops_per_second,
                "peak_flops_per_second": self.peak.flops,
                "peak_source": self.peak.source,
                "share_of_peak": self.share_of_peak,
            },
            "memory_bytes": self.memory,
            "traced_steps": CALLS * self.steps_per_call,
            "seconds_by_direction": self.seconds_by_direction,
            "operations": [operation.to_json() for operation in self.operations[:STORED]],
        }


def time_steps(
    train_step: CompiledCalls,
    state: TrainState,
    batches: Iterator[Batch],
    *,
    seconds: float = 20,
    fewest: int = 8,
    most: int = 200,
) -> tuple[TrainState, Timing]:
    """Takes steps until `seconds` have passed or there are `most`, but at least `fewest` of them.

    As in training, a call's metrics are read only when the next call runs, and waiting for data
    counts only while no step runs. Two more calls come first, which are not timed.
    """
    for _ in range(2):
        state, metrics = train_step(state, next(batches))
    jax.block_until_ready(metrics)
    began = shown = ended = time.perf_counter()
    times: list[float] = []
    waited = 0.0
    under_way = None
    while len(times) < most and (len(times) < fewest or ended - began < seconds):
        asked = time.perf_counter()
        batch = next(batches)
        if under_way is not None and under_way["loss"].is_ready():
            waited += time.perf_counter() - asked
        state, metrics = train_step(state, batch)
        under_way, before = metrics, under_way
        if before is None:
            continue
        jax.block_until_ready(before)
        now = time.perf_counter()
        steps = np.size(before["loss"])
        times += [(now - ended) / steps] * steps
        ended = now
        if now - shown > SHOW_EVERY:
            shown = now
            left = max(seconds - (now - began), 0)
            print(f"timed {len(times)} steps, about {left:.0f} s left", flush=True)
    jax.block_until_ready(under_way)
    return state, Timing(times, waited)


def input_alone(batches: Iterator[Batch], *, seconds: float = 1) -> float:
    """Films per second that the input delivers to the devices when no step runs."""
    films, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        films += jax.block_until_ready(next(batches))["mask"].size
    return films / elapsed


def memory(train_step: jax.stages.Compiled) -> dict[str, int | list[int]]:
    """Memory in bytes: XLA's plan for a step on one device, the devices' reports, this process.

    Fields that a backend does not report are missing. `process_peak` is the peak of the process so
    far, compilation included.
    """
    found: dict[str, int | list[int]] = {}
    planned = train_step.memory_analysis()
    for name in ("argument", "output", "alias", "temp"):
        size = getattr(planned, f"{name}_size_in_bytes", None)
        if size is not None:
            found[f"planned_{name}"] = size
    reported = [device.memory_stats() or {} for device in jax.local_devices()]
    for name in ("peak_bytes_in_use", "bytes_limit"):
        if all(name in stats for stats in reported):
            found[f"device_{name}"] = [stats[name] for stats in reported]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found["process_peak"] = peak if sys.platform == "darwin" else peak * 1024
    return found


@contextmanager
def cache_hits() -> Iterator[list[str]]:
    """Collects an event for each program that JAX takes from its compilation cache."""
    hits: list[str] = []

    def listen(event: str, **_: object) -> None:
        if event == "/jax/compilation_cache/cache_hits":
            hits.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        yield hits
    finally:
        jax.monitoring.unregister_event_listener(listen)
