"""The logbook of a run's steps and epochs: metrics.jsonl and TensorBoard event files."""

import json
import math
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax import runtime
from pneumojax.files import Appended, failing_clearly, replacing
from pneumojax.run.history import read_lines
from pneumojax.run.stored_config import is_synthetic


class Logbook:
    """Appends lines to metrics.jsonl, and the same figures to TensorBoard event files.

    A line is {"kind": "step" | "epoch", "step": ..., "epoch": ..., figures, stamp}. Lines after the
    step that a run resumes from are removed first, so every step stands in the file once, however
    often the run was killed.
    """

    def __init__(
        self, workdir: Path, resumed_step: int, *, tensorboard: bool, stamp: dict[str, Any]
    ):
        path = workdir / "metrics.jsonl"
        kept = [line for line in read_lines(path) if line["step"] <= resumed_step]
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        with failing_clearly(path):
            self._stream = Appended(path)
        self._workdir = workdir
        self._stamp = stamp
        self._events = None
        if tensorboard:
            from pneumojax.training.events import Events

            with failing_clearly(workdir):
                self._events = Events(
                    workdir / "tensorboard", resumed_step + 1 if resumed_step else None
                )
                if stamp and not resumed_step:
                    self._events.text("stamp", json.dumps(stamp))

    def write(self, kind: str, step: int, epoch: int, figures: dict[str, float]) -> None:
        """Adds one line; JSON has no number that is not finite, so such a figure is null."""
        finite = {k: v if math.isfinite(v) else None for k, v in figures.items()}
        line = {"kind": kind, "step": step, "epoch": epoch, **finite, **self._stamp}
        with failing_clearly(self._workdir):
            self._stream.write((json.dumps(line) + "\n").encode())
            if self._events:
                for name, value in figures.items():
                    self._events.scalar(f"{kind}/{name}", value, step)

    def flush(self) -> None:
        """Writes everything to the disk; a checkpoint must not be newer than its lines."""
        with failing_clearly(self._workdir):
            self._stream.sync()
            if self._events:
                self._events.flush()

    def close(self) -> None:
        self.flush()
        with failing_clearly(self._workdir):  # a network file system may report a full disk here
            self._stream.close()
            if self._events:
                self._events.close()


def open_logbook(workdir: Path, resumed_step: int, config: ConfigDict) -> "Logbook | NoLogbook":
    """The logbook of a run; processes other than the leader get one that writes nothing."""
    if not runtime.is_leader():
        return NoLogbook()
    stamp = {"synthetic": True} if is_synthetic(config) else {}
    return Logbook(workdir, resumed_step, tensorboard=config.log.tensorboard, stamp=stamp)


class NoLogbook:
    """A logbook that writes nothing."""

    def write(self, kind: str, step: int, epoch: int, figures: dict[str, float]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...
