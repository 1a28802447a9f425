"""The trackers that write into the run folder: metrics.jsonl and TensorBoard event files."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pneumojax.files import Appended, failing_clearly, replacing
from pneumojax.run.history import read_lines
from pneumojax.tracking.tracker import Outcome, Record


class MetricsFile:
    """Appends lines to metrics.jsonl.

    A line is {"kind": "step" | "epoch", "step": ..., "epoch": ..., figures, stamp}. Lines after the
    step that a run resumes from are removed first, so every step stands in the file once, however
    often the run was killed.
    """

    def __init__(self, workdir: Path, resumed_step: int, stamp: Mapping[str, Any]):
        self._path = workdir / "metrics.jsonl"
        self._stamp = stamp
        kept = [line for line in read_lines(self._path) if line["step"] <= resumed_step]
        with replacing(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        with failing_clearly(self._path):
            self._stream = Appended(self._path)

    def write(self, record: Record) -> None:
        """Adds one line; JSON has no number that is not finite, so such a figure is null."""
        finite = {k: v if math.isfinite(v) else None for k, v in record.figures.items()}
        line = {"kind": record.kind, "step": record.step, "epoch": record.epoch}
        text = json.dumps({**line, **finite, **self._stamp}) + "\n"
        with failing_clearly(self._path):
            self._stream.write(text.encode())

    def keep(self, name: str, paths: Sequence[Path]) -> None:
        """Does nothing, because the files lie in the run folder already."""

    def flush(self) -> None:
        with failing_clearly(self._path):
            self._stream.sync()

    def close(self, outcome: Outcome) -> None:
        self.flush()
        with failing_clearly(self._path):  # a network file system may report a full disk here
            self._stream.close()


class EventFiles:
    """Writes the same figures to TensorBoard event files, as "step/loss" or "epoch/val_loss"."""

    def __init__(self, workdir: Path, resumed_step: int, stamp: Mapping[str, Any]):
        from pneumojax.tracking.events import Events

        self._folder = workdir / "tensorboard"
        with failing_clearly(self._folder):
            self._events = Events(self._folder, resumed_step + 1 if resumed_step else None)
            if stamp and not resumed_step:
                self._events.text("stamp", json.dumps(stamp))

    def write(self, record: Record) -> None:
        with failing_clearly(self._folder):
            for name, value in record.figures.items():
                self._events.scalar(f"{record.kind}/{name}", value, record.step)

    def keep(self, name: str, paths: Sequence[Path]) -> None:
        """Does nothing, because the files lie in the run folder already."""

    def flush(self) -> None:
        with failing_clearly(self._folder):
            self._events.flush()

    def close(self, outcome: Outcome) -> None:
        with failing_clearly(self._folder):
            self._events.close()
