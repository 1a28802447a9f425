"""The calls that training makes to the devices: how many steps each takes, and on which films."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.data.film_set import FilmSet
from pneumojax.data.pipeline import (
    Batch,
    BatchOrder,
    Calls,
    row_batches,
    to_devices,
    training_batches,
)
from pneumojax.data.resident import choose_layout, place_films
from pneumojax.terminal import say
from pneumojax.training.compiling import NOTHING, Held, compile_step
from pneumojax.training.state import TrainState
from pneumojax.training.step import TrainStep

USUAL_STEPS = 16  # in a call on an accelerator, where a call costs some tenths of a millisecond
_GOOD_STEPS = range(32, 7, -1)


@dataclass(frozen=True)
class CallInput:
    """The input of each call: batches on the devices, and the arrays that lie there too.

    held: without films, each batch brings its own from the host.
    batches: as `data.pipeline` makes them, one for each of `calls`.
    """

    calls: Calls
    held: Held
    batches: Iterator[Batch]
    batch_size: int

    @property
    def full_batches(self) -> Iterator[Batch]:
        """The batches of the longest calls: a shorter one, at an epoch's end, is another program.

        They are taken from `batches`.
        """
        films = self.batch_size * self.calls.steps_per_call
        return (batch for batch in self.batches if batch["mask"].size == films)


def make_input(
    films: FilmSet,
    order: BatchOrder,
    config: ConfigDict,
    mesh: Mesh,
    first_step: int,
    held: Held = NOTHING,
) -> CallInput:
    """The input from `first_step` on, counted from 0; moves the films if the config asks for it.

    `held` is what lies on the devices beside the films.
    """
    steps = config.train.steps_per_call or automatic_steps(order.steps_per_epoch, mesh)
    calls = order.calls(first_step, min(steps, order.steps_per_epoch))
    layout = choose_layout(films, config, mesh)
    if layout == "off":
        resident, batches = None, training_batches(films, order, calls)
    else:
        resident, batches = place_films(films, layout, mesh), row_batches(order, calls)
        say(f"films: {len(films):,} on the devices, {layout}")
    on_devices = to_devices(batches, mesh, have_step_axis=calls.have_step_axis)
    return CallInput(calls, held._replace(films=resident), on_devices, order.batch_size)


def automatic_steps(steps_per_epoch: int, mesh: Mesh) -> int:
    """The steps in a call if the config does not say: 1 on a CPU, whose calls cost nothing.

    On an accelerator it is the largest of 8 to 32 that divides an epoch, or else `USUAL_STEPS`. The
    end of an epoch that is not divided is a shorter call, which is compiled too.
    """
    if mesh.devices.flat[0].platform == "cpu":
        return 1
    return next((n for n in _GOOD_STEPS if steps_per_epoch % n == 0), USUAL_STEPS)


class CompiledCalls:
    """`(state, batch) -> (state, metrics)` for calls of every length that a run takes.

    `longest` is the program of the longest call.
    """

    def __init__(
        self,
        train_step: TrainStep,
        state: TrainState,
        config: ConfigDict,
        mesh: Mesh,
        source: CallInput,
        last_step: int,
    ):
        self._held = source.held
        self._have_step_axis = source.calls.have_step_axis
        lengths = source.calls.lengths(last_step) if self._have_step_axis else [None]
        self._compiled = {
            steps: compile_step(train_step, state, config, mesh, held=source.held, steps=steps)
            for steps in lengths
        }
        self.longest: jax.stages.Compiled = self._compiled[lengths[0]]

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Any]]:
        compiled = self._compiled[len(batch["mask"]) if self._have_step_axis else None]
        if any(self._held):
            return compiled(state, batch, self._held)
        return compiled(state, batch)
