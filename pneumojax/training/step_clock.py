"""The clock of training steps: their duration, and the share that is spent waiting for data."""

import time
from collections.abc import Callable, Iterator

from pneumojax.data.pipeline import Batch


class StepClock:
    """Measures steps alone: validation and saving take place while it is paused."""

    def __init__(self) -> None:
        self._steps = 0
        self._seconds = 0.0
        self._waited = 0.0
        self._began = time.perf_counter()

    def next_batch(self, batches: Iterator[Batch], is_idle: Callable[[], bool]) -> Batch:
        """The next batch, for the next step.

        Args:
            is_idle: says whether the devices have finished every step. Only then does the time
                that the batch took count as waiting for data.
        """
        began = time.perf_counter()
        batch = next(batches)
        if is_idle():
            self._waited += time.perf_counter() - began
        self._steps += 1
        return batch

    def pause(self) -> None:
        """Stops the clock; the devices should have finished every step."""
        self._seconds += time.perf_counter() - self._began

    def resume(self) -> None:
        """Starts the clock again."""
        self._began = time.perf_counter()

    def take_figures(self) -> dict[str, float]:
        """Seconds per step and the share of waiting since the last call; the clock is paused."""
        figures = {
            "seconds_per_step": self._seconds / self._steps,
            "data_wait": self._waited / self._seconds,
        }
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        return figures
