"""Looks at each step's metrics one step late, so that the devices never wait to be read."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import jax
import numpy as np
from ml_collections import ConfigDict

from pneumojax import runtime
from pneumojax.data.film_set import FilmSet
from pneumojax.data.pipeline import Batch
from pneumojax.errors import UserError
from pneumojax.files import write_json
from pneumojax.training.logbook import Logbook, NoLogbook, Progress
from pneumojax.training.state import EpochSums, TrainState


class StepWatch:
    """Checks that steps are finite, logs them, and keeps the clock of stepping alone."""

    def __init__(
        self,
        config: ConfigDict,
        workdir: Path,
        films: FilmSet,
        per_epoch: int,
        batches: Iterator[Batch],
        logbook: Logbook | NoLogbook,
        progress: Progress,
    ):
        self._config = config
        self._workdir = workdir
        self._films = films
        self._per_epoch = per_epoch
        self._batches = batches
        self._logbook = logbook
        self._progress = progress
        self._pending: tuple[int, dict, jax.Array] | None = None
        self._steps = 0
        self._seconds = 0.0
        self._waited = 0.0
        self._began = time.perf_counter()

    def next_batch(self) -> Batch:
        """Takes a batch from the stream; waiting counts if no step was left under way."""
        began = time.perf_counter()
        batch = next(self._batches)
        if self._pending is None or self._pending[1]["loss"].is_ready():
            self._waited += time.perf_counter() - began
        return batch

    def dispatched(self, step: int, metrics: dict, films: jax.Array) -> None:
        """Takes a step that is under way, and looks at the one before it."""
        self._look()
        self._pending = (step, metrics, films)
        self._steps += 1

    def pause(self, state: TrainState) -> None:
        """Waits for the last step, looks at it, stops the clock, and looks at what it left.

        Raises:
            UserError: the step's metrics are not finite, or an array of the state is not, or a
                running variance is negative: nothing that a checkpoint should hold.
        """
        pending = self._pending
        self._look()
        self._seconds += time.perf_counter() - self._began
        if pending is not None and (wrong := unsound(state)):
            step, metrics, films = pending
            self._stop(step, {name: float(value) for name, value in metrics.items()}, wrong, films)

    def resume(self) -> None:
        """Starts the clock again after validation and saving."""
        self._began = time.perf_counter()
        self._progress.resume()

    def epoch_figures(self, sums: EpochSums) -> dict[str, float]:
        """Training figures of the epoch, from the state's sums and this clock; after `pause`.

        After a resume in mid-epoch the sums are the whole epoch's, the clock only this process's.
        """
        total = {name: float(value) for name, value in vars(jax.device_get(sums)).items()}
        figures = {
            "train_loss": total["loss"] / total["films"],
            "train_accuracy": total["correct"] / total["films"],
            "seconds_per_step": self._seconds / self._steps,
            "data_wait": self._waited / self._seconds,
        }
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        return figures

    def _look(self) -> None:
        if self._pending is None:
            return
        (step, metrics, films), self._pending = self._pending, None
        figures = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if wrong := [f"{k} is {v}" for k, v in figures.items() if not math.isfinite(v)]:
            self._stop(step, figures, wrong, films)
        epoch = self._epoch(step)
        if step % self._config.log.every_steps == 0:
            self._logbook.write("step", step, epoch, figures)
        self._progress.step(step, figures["loss"])

    def _epoch(self, step: int) -> int:
        return (step - 1) // self._per_epoch + 1

    def _stop(
        self, step: int, figures: dict[str, float], wrong: list[str], films: jax.Array
    ) -> NoReturn:
        path = self._workdir / "non_finite.json"
        report = {
            "step": step,
            "epoch": self._epoch(step),
            "wrong": wrong,
            "figures": {name: str(value) for name, value in figures.items()},
            "films": [self._films.paths[i] for i in np.unique(runtime.gathered(films))],
        }
        if runtime.is_leader():
            write_json(path, report)
        self._logbook.close()
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"step {step} (epoch {self._epoch(step)}): {', '.join(wrong[:3])}{more}. "
            f"{str(path)!r} lists the films of its batch; the last checkpoint is from before. "
            "Lower config.optimizer.learning_rate, or look at those films"
        )


def unsound(state: TrainState) -> list[str]:
    """What of a state no training should leave: arrays that are not finite, negative variances."""
    wrong = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        array = np.asarray(leaf)
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not np.all(np.isfinite(array)):
            wrong.append(f"{name} is not finite")
        elif name.startswith("statistics/") and name.endswith("/var") and np.any(array < 0):
            wrong.append(f"{name} is negative")
    return wrong
