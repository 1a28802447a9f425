"""Reads each step's metrics one step late, so that the devices never wait for the host."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

from pneumojax import runtime
from pneumojax.data.film_set import FilmSet
from pneumojax.errors import UserError
from pneumojax.files import write_json
from pneumojax.training.logbook import Logbook, NoLogbook
from pneumojax.training.progress import TrainingProgress
from pneumojax.training.state import TrainState


@dataclass(frozen=True)
class DispatchedStep:
    """A step that the devices may still be computing; it and its epoch are counted from 1."""

    number: int
    epoch: int
    metrics: dict[str, Any]  # scalars; JAX declares no `is_ready` in the type jax.Array
    films: jax.Array  # int32 (batch,), rows of the training set


class StepMonitor:
    """Logs every step, shows the progress, and ends a training whose numbers are not finite."""

    def __init__(
        self,
        workdir: Path,
        films: FilmSet,
        logbook: Logbook | NoLogbook,
        progress: TrainingProgress,
        log_every: int,
    ):
        self._path = workdir / "non_finite.json"
        self._films = films
        self._logbook = logbook
        self._progress = progress
        self._log_every = log_every
        self._pending: DispatchedStep | None = None

    def is_idle(self) -> bool:
        """Whether the devices have finished every step that was dispatched."""
        return self._pending is None or self._pending.metrics["loss"].is_ready()

    def dispatched(self, step: DispatchedStep) -> None:
        """Takes note of a step, and reads the metrics of the one before it."""
        self.wait()
        self._pending = step

    def wait(self) -> None:
        """Waits for the step that is pending, if there is one, and reads its metrics."""
        if self._pending is None:
            return
        step, self._pending = self._pending, None
        metrics = host_metrics(step)
        wrong = [f"{name} is {v}" for name, v in metrics.items() if not math.isfinite(v)]
        if wrong:
            self._fail(step, wrong)
        if step.number % self._log_every == 0:
            self._logbook.write("step", step.number, step.epoch, metrics)
        self._progress.step(step.number, metrics["loss"])

    def check(self, step: DispatchedStep, state: TrainState) -> None:
        """Raises UserError if the state after `step` is one that no checkpoint should hold."""
        if wrong := wrong_arrays(state):
            self._fail(step, wrong)

    def _fail(self, step: DispatchedStep, wrong: list[str]) -> NoReturn:
        """Writes non_finite.json, which lists the films of the step, and raises UserError."""
        with jax.transfer_guard("allow"):  # the films may lie on other processes' devices
            rows = np.unique(runtime.gathered(step.films))
        report = {
            "step": step.number,
            "epoch": step.epoch,
            "wrong": wrong,
            "figures": {name: str(value) for name, value in host_metrics(step).items()},
            "films": [self._films.paths[row] for row in rows],
        }
        if runtime.is_leader():
            write_json(self._path, report)
        self._logbook.close()
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"step {step.number} (epoch {step.epoch}): {', '.join(wrong[:3])}{more}. "
            f"{str(self._path)!r} lists the films of its batch; the last checkpoint is from "
            "before. Lower config.optimizer.learning_rate, or look at those films"
        )


def host_metrics(step: DispatchedStep) -> dict[str, float]:
    """The metrics of a step, for which this waits."""
    return {name: float(value) for name, value in jax.device_get(step.metrics).items()}


def wrong_arrays(state: TrainState) -> list[str]:
    """Names the arrays of a state with a value that is not finite, or with a negative variance."""
    wrong = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        array = np.asarray(leaf)
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not np.all(np.isfinite(array)):
            wrong.append(f"{name} is not finite")
        elif name.startswith("statistics/") and name.endswith("/var") and np.any(array < 0):
            wrong.append(f"{name} is negative")
    return wrong
