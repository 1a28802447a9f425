"""What a run writes down as it goes: metrics.jsonl, TensorBoard event files, lines to look at."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from pneumojax.files import Appended, failing_clearly, replacing
from pneumojax.run.history import read_lines
from pneumojax.terminal import duration


class Logbook:
    """Appends metrics; what lies beyond the step resumed from is cut off first.

    So every step stands in the file once, however often the run was killed. A line is
    {"kind": "step" | "epoch", "step": ..., "epoch": ..., figures}.

    Args:
        workdir: of the run.
        resumed_step: steps already in the state; later lines will be written again.
        tensorboard: write event files as well.
        stamp: put into every line, such as {"synthetic": true}.
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
        """Adds one line; a figure that is not finite is written as null."""
        finite = {k: v if math.isfinite(v) else None for k, v in figures.items()}
        line = {"kind": kind, "step": step, "epoch": epoch, **finite, **self._stamp}
        with failing_clearly(self._workdir):
            self._stream.write((json.dumps(line) + "\n").encode())
            if self._events:
                for name, value in figures.items():
                    self._events.scalar(f"{kind}/{name}", value, step)

    def flush(self) -> None:
        """Brings everything to the disk; called before a checkpoint that counts on it."""
        with failing_clearly(self._workdir):
            self._stream.sync()
            if self._events:
                self._events.flush()

    def close(self) -> None:
        """Flushes and closes."""
        self.flush()
        with failing_clearly(self._workdir):  # network file systems may tell of a full disk here
            self._stream.close()
            if self._events:
                self._events.close()


class NoLogbook:
    """That of a process that does not write; the leader's holds the same."""

    def write(self, kind: str, step: int, epoch: int, figures: dict[str, float]) -> None:
        """Nothing, as the others."""

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Progress:
    """One line that says where training stands: rewritten on a terminal, now and then elsewhere."""

    def __init__(self, epochs: int, steps_per_epoch: int, batch_size: int):
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._batch_size = batch_size
        self._terminal = sys.stdout.isatty()
        self._seconds_per_step = 0.0
        self._last = self._shown = time.monotonic()

    def resume(self) -> None:
        """Leaves out the time since the last step, which went to something else."""
        self._last = time.monotonic()

    def step(self, step: int, loss: float) -> None:
        """Says that `step` steps are done; shows it when it is time to."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        before = self._seconds_per_step or seconds
        self._seconds_per_step = 0.9 * before + 0.1 * seconds
        if now - self._shown < (0.2 if self._terminal else 10):
            return
        self._shown = now
        left = (self._epochs * self._steps_per_epoch - step) * self._seconds_per_step
        epoch, of_epoch = divmod(step - 1, self._steps_per_epoch)
        text = (
            f"epoch {epoch + 1}/{self._epochs}  step {of_epoch + 1}/{self._steps_per_epoch}  "
            f"loss {loss:.4f}  {self._batch_size / self._seconds_per_step:,.0f} films/s  "
            f"{duration(left)} left"
        )
        print(f"\r{text:<78}" if self._terminal else text, end="" if self._terminal else "\n")
        sys.stdout.flush()

    def line(self, text: str) -> None:
        """Prints a line of its own."""
        print(f"\r{text:<78}" if self._terminal else text, flush=True)


def epoch_line(epoch: int, epochs: int, figures: dict[str, float]) -> str:
    """What is printed of an epoch."""
    line = (
        f"epoch {epoch}/{epochs}  train loss {figures['train_loss']:.4f} "
        f"accuracy {figures['train_accuracy']:.4f}"
    )
    if "val_loss" in figures:
        line += (
            f"  |  val loss {figures['val_loss']:.4f} sens {figures['val_sensitivity']:.3f} "
            f"spec {figures['val_specificity']:.3f} AUROC {figures['val_auroc']:.4f}"
        )
    seconds, wait = figures["seconds_per_step"], figures["data_wait"]
    return f"{line}  |  {seconds:.3f} s/step, data wait {wait:.1%}"
