"""The lines that training prints, and the clock of its steps."""

import sys
import time
from collections.abc import Callable, Iterator

from pneumojax.data.pipeline import Batch
from pneumojax.terminal import Progress, duration, speed


class TrainingProgress:
    """Shows the progress of training on one line, with the rate and the time left."""

    def __init__(self, epochs: int, steps_per_epoch: int, batch_size: int):
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._batch_size = batch_size
        self._progress = Progress(sys.stdout)
        self._seconds_per_step = 0.0
        self._last = time.monotonic()

    def resume(self) -> None:
        """Leaves out the time since the last step, which validation or saving has taken."""
        self._last = time.monotonic()

    def steps(self, numbers: range, loss: float) -> None:
        """Takes note of the steps of one call, counted from 1, and of the loss of the last one."""
        step = numbers[-1]
        now = time.monotonic()
        seconds, self._last = (now - self._last) / len(numbers), now
        before = self._seconds_per_step or seconds
        self._seconds_per_step = 0.9 * before + 0.1 * seconds
        if not self._progress.is_due():
            return
        left = (self._epochs * self._steps_per_epoch - step) * self._seconds_per_step
        epoch, step_of_epoch = divmod(step - 1, self._steps_per_epoch)
        self._progress.show(
            f"epoch {epoch + 1}/{self._epochs}  "
            f"step {step_of_epoch + 1}/{self._steps_per_epoch}  loss {loss:.4f}  "
            f"{speed(self._batch_size / self._seconds_per_step)}  {duration(left)} left"
        )

    def epoch(self, epoch: int, figures: dict[str, float]) -> None:
        line = (
            f"epoch {epoch}/{self._epochs}  train loss {figures['train_loss']:.4f} "
            f"accuracy {figures['train_accuracy']:.4f}"
        )
        if "val_loss" in figures:
            line += (
                f"  |  val loss {figures['val_loss']:.4f} sens {figures['val_sensitivity']:.3f} "
                f"spec {figures['val_specificity']:.3f} AUROC {figures['val_auroc']:.4f}"
            )
        seconds, wait = figures["seconds_per_step"], figures["data_wait"]
        self._progress.line(f"{line}  |  {seconds:.3f} s/step, data wait {wait:.1%}")


class StepClock:
    """Measures steps alone: validation and saving take place while it is paused."""

    def __init__(self) -> None:
        self._steps = 0
        self._seconds = 0.0
        self._waited = 0.0
        self._began = time.perf_counter()

    def next_batch(
        self, batches: Iterator[Batch], is_idle: Callable[[], bool], steps: int = 1
    ) -> Batch:
        """The batch of the next `steps` steps.

        Its time counts as waiting only if the devices have nothing to do.
        """
        began = time.perf_counter()
        batch = next(batches)
        if is_idle():
            self._waited += time.perf_counter() - began
        self._steps += steps
        return batch

    def pause(self) -> None:
        """Stops the clock; the devices should have finished every step."""
        self._seconds += time.perf_counter() - self._began

    def resume(self) -> None:
        self._began = time.perf_counter()

    def take_figures(self) -> dict[str, float]:
        """Seconds per step and the share of waiting since the last call; the clock is paused."""
        figures = {
            "seconds_per_step": self._seconds / self._steps,
            "data_wait": self._waited / self._seconds,
        }
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        return figures
