"""Reads each call's metrics when they are there, so that the devices never wait for the host."""

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
from pneumojax.tracking.logbook import Logbook
from pneumojax.tracking.tracker import Record
from pneumojax.training.progress import TrainingProgress
from pneumojax.training.state import TrainState


@dataclass(frozen=True)
class DispatchedCall:
    """Steps that the devices may still be computing; they and their epoch are counted from 1.

    metrics: scalars, or arrays (steps,). Their type is Any because jax.Array declares no
        `is_ready`, which is called on them.
    films: int32 (batch,) or (steps, batch), rows of the training set.
    """

    numbers: range
    epoch: int
    metrics: dict[str, Any]
    films: jax.Array


class StepMonitor:
    """Logs every step, shows the progress, and ends a training whose numbers are not finite."""

    def __init__(
        self,
        workdir: Path,
        films: FilmSet,
        logbook: Logbook,
        progress: TrainingProgress,
        log_every: int,
    ):
        self._path = workdir / "non_finite.json"
        self._films = films
        self._logbook = logbook
        self._progress = progress
        self._log_every = log_every
        self._pending: DispatchedCall | None = None

    def is_idle(self) -> bool:
        """Whether the devices have finished every step that was dispatched."""
        return self._pending is None or self._pending.metrics["loss"].is_ready()

    def dispatched(self, call: DispatchedCall) -> None:
        """Reads the metrics of the call before, and of this one if it has been computed already.

        A CPU computes a call while it is dispatched; accelerators finish it later.
        """
        self.wait()
        self._pending = call
        if self.is_idle():
            self.wait()

    def wait(self) -> None:
        """Waits for the call that is pending, if there is one, and reads its metrics."""
        if self._pending is None:
            return
        call, self._pending = self._pending, None
        steps = host_metrics(call)
        for number, metrics in zip(call.numbers, steps, strict=True):
            wrong = [f"{name} is {v}" for name, v in metrics.items() if not math.isfinite(v)]
            if wrong:
                self._fail(call, number, wrong)
            if number % self._log_every == 0:
                self._logbook.write(Record("step", number, call.epoch, metrics))
        self._progress.steps(call.numbers, steps[-1]["loss"])

    def check(self, call: DispatchedCall, state: TrainState) -> None:
        """Raises UserError if the state after `call` is one that no checkpoint should hold."""
        if wrong := wrong_arrays(state):
            # A wrong state before the last step would have made that step's metrics wrong.
            self._fail(call, call.numbers[-1], wrong)

    def _fail(self, call: DispatchedCall, number: int, wrong: list[str]) -> NoReturn:
        """Writes non_finite.json, which lists the films of a step, and raises UserError."""
        step = call.numbers.index(number)
        with jax.transfer_guard("allow"):  # the films may lie on other processes' devices
            films = np.asarray(runtime.gathered(call.films)).reshape(len(call.numbers), -1)
        figures = host_metrics(call)[step]
        report = {
            "step": number,
            "epoch": call.epoch,
            "wrong": wrong,
            "figures": {name: str(value) for name, value in figures.items()},
            "films": [self._films.paths[row] for row in np.unique(films[step])],
        }
        if runtime.is_leader():
            write_json(self._path, report)
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"step {number} (epoch {call.epoch}): {', '.join(wrong[:3])}{more}. "
            f"{str(self._path)!r} lists the films of its batch; the last checkpoint is from "
            "before. Lower config.optimizer.learning_rate, or look at those films"
        )


def host_metrics(call: DispatchedCall) -> list[dict[str, float]]:
    """The metrics of each step of a call, for which this waits."""
    arrays = {name: np.atleast_1d(v) for name, v in jax.device_get(call.metrics).items()}
    return [
        {name: float(values[step]) for name, values in arrays.items()}
        for step in range(len(call.numbers))
    ]


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
