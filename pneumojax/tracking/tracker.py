"""The protocol of everything that records the figures of a run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True)
class Record:
    """The figures of one step or of one epoch.

    kind: "step" or "epoch".
    step, epoch: counted from 1; for an epoch, its last step.
    time: seconds since 1970.
    """

    kind: str
    step: int
    epoch: int
    figures: Mapping[str, float]
    time: float = field(default_factory=time.time)


class Outcome(StrEnum):
    """How a run ended: KILLED means that its process ended before it closed its trackers."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    KILLED = "killed"

    @classmethod
    def of(cls, error: BaseException | None) -> "Outcome":
        """The outcome of a block that ends with an exception, or with None."""
        if error is None:
            return cls.FINISHED
        return cls.STOPPED if isinstance(error, KeyboardInterrupt) else cls.FAILED


class Recorder(Protocol):
    """Takes what a run has to record."""

    def write(self, record: Record) -> None:
        """Takes the figures of a step or an epoch."""

    def keep(self, name: str, paths: Sequence[Path]) -> None:
        """Stores files and folders, whose paths are relative to the run folder, under a name."""

    def flush(self) -> None:
        """Finishes what was written so far; a checkpoint must not be newer than its lines."""


class Tracker(Recorder, Protocol):
    """Records a run. Trackers that write files raise UserError if they cannot; others never do."""

    def close(self, outcome: Outcome) -> None:
        """Finishes everything; the tracker is not used afterwards."""


R = TypeVar("R", bound=Recorder)


class Recorders(Generic[R]):
    """Several recorders, each of which takes everything."""

    def __init__(self, recorders: Sequence[R] = ()):
        self._recorders = tuple(recorders)

    def write(self, record: Record) -> None:
        for recorder in self._recorders:
            recorder.write(record)

    def keep(self, name: str, paths: Sequence[Path]) -> None:
        for recorder in self._recorders:
            recorder.keep(name, paths)

    def flush(self) -> None:
        for recorder in self._recorders:
            recorder.flush()
