"""The measurements of a profile, and the form in which profile.json stores them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ml_collections import ConfigDict

from pneumojax.profiling.devices import Peak
from pneumojax.profiling.measure import Timing
from pneumojax.profiling.trace import STEPS, Operation
from pneumojax.profiling.work import Work

STORED = 50  # operations in profile.json


@dataclass(frozen=True)
class Compilation:
    """How long the step took to compile, and whether it came from the compilation cache."""

    seconds: float
    from_cache: bool


@dataclass(frozen=True)
class Profile:
    """The measurements of one training step.

    provenance: as `run.provenance.provenance` returns it.
    device, devices: kind and number of the devices that share a step.
    timing: seconds of each timed step, and of waiting for data.
    input_alone: films per second that the input delivers when no step runs.
    work: multiply-adds of one film.
    xla_flops, xla_bytes: XLA's own counts for a step, which count the body of a loop once; None
        if it reports none.
    peak: the FLOP/s that the devices can reach.
    memory: bytes by purpose, as `measure.memory` returns them.
    operations: every traced instruction, the longest first.
    """

    config: ConfigDict
    provenance: dict[str, Any]
    device: str
    devices: int
    compilation: Compilation
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
        """The contents of profile.json, which docs/performance.md describes."""
        return self.provenance | {
            "config": self.config.to_dict(),
            "device": {"kind": self.device, "count": self.devices},
            "compile": asdict(self.compilation),
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
            "traced_steps": STEPS,
            "seconds_by_direction": self.seconds_by_direction,
            "operations": [operation.to_json() for operation in self.operations[:STORED]],
        }
