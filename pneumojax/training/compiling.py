"""The train step compiled ahead of its first batch, for training and for profiling."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.data.resident import ResidentFilms
from pneumojax.sharding import replicated, split
from pneumojax.terminal import say
from pneumojax.traced import TracedStore, store_for
from pneumojax.training import heap
from pneumojax.training.state import TrainState
from pneumojax.training.step import RunNumbers, TrainStep


class Held(NamedTuple):
    """Arrays that lie on the devices from call to call, beside the state."""

    films: ResidentFilms | None = None
    teachers: tuple[dict, ...] = ()  # the parameters of each
    numbers: RunNumbers | None = None  # None: those of the config are compiled in


NOTHING = Held()


def compile_step(
    train_step: TrainStep,
    state: TrainState,
    config: ConfigDict,
    mesh: Mesh,
    *,
    held: Held = NOTHING,
    steps: int | None = None,
) -> jax.stages.Compiled:
    """`(state, batch) -> (state, metrics)` for one shape of batch, which donates the state.

    Args:
        held: if it holds anything, the result takes it as a third argument. With films, a batch has
            only `film` and `mask`.
        steps: if given, a call takes so many steps, and batches and metrics have a leading axis
            for them.

    A step that is given its numbers is read from a store, if its program is there.
    """
    everywhere = replicated(mesh)
    batch = _abstract_batch(config, mesh, steps)
    if held.films is not None:
        batch = {name: batch[name] for name in ("film", "mask")}
    arguments = (state, batch, held) if any(held) else (state, batch)
    what = "the train step" if steps is None else f"{steps} train steps in one call"
    say(f"compiling {what} ...")
    began = time.perf_counter()
    call = _call(train_step, held, steps)
    recipe = None if held.numbers is None else train_step.recipe
    if recipe is not None and (store := store_for(mesh)):
        call = _stored(call, store, recipe, *arguments)
    jitted = jax.jit(
        call,
        donate_argnums=0,  # the new state takes the memory of the old one
        out_shardings=(everywhere, everywhere),
    )
    compiled = jitted.lower(*arguments).compile()
    say(f"compiled in {time.perf_counter() - began:.1f} s")
    needs = compiled.memory_analysis()  # None if the backend does not report it
    if needs and jax.default_backend() == "cpu" and jax.local_device_count() == 1:
        heap.reserve(needs.temp_size_in_bytes)
    return compiled


def _call(train_step: TrainStep, held: Held, steps: int | None) -> Callable[..., Any]:
    """The function to compile: one step, or `steps` of them in a loop on the devices.

    The numbers of a loop are those of single steps within rounding, since a compiler may order sums
    otherwise inside of it.
    """

    def step(state: TrainState, batch: dict, held: Held = NOTHING) -> tuple[TrainState, dict]:
        if held.films is not None:
            batch = held.films.batch(batch)
        numbers = () if held.numbers is None else (held.numbers,)
        return train_step(state, batch, held.teachers, *numbers)

    def train_steps(state: TrainState, batches: dict, held: Held = NOTHING) -> Any:
        return lax.scan(lambda state, batch: step(state, batch, held), state, batches)

    if steps is not None:
        return train_steps
    return step if any(held) else train_step


def _stored(
    call: Callable[..., Any], store: TracedStore, recipe: list[Any], *arguments: Any
) -> Callable[..., Any]:
    """`call`, traced or read from the store, for arguments of these shapes."""
    tree = jax.tree.structure(arguments[0])

    def make() -> Callable[..., Any]:
        def of_leaves(state: TrainState, *rest: Any) -> tuple[list[Array], dict]:
            state, metrics = call(state, *rest)
            return jax.tree.leaves(state), metrics

        return of_leaves

    stored = store.program(["train step", *recipe], make, *arguments)

    def train_step(state: TrainState, *rest: Any) -> tuple[TrainState, dict]:
        leaves, metrics = stored(state, *rest)
        return jax.tree.unflatten(tree, leaves), metrics

    return train_step


def _abstract_batch(
    config: ConfigDict, mesh: Mesh, steps: int | None
) -> dict[str, jax.ShapeDtypeStruct]:
    leading = () if steps is None else (steps,)
    array = partial(jax.ShapeDtypeStruct, sharding=split(mesh, axis=len(leading)))
    films, size = (*leading, config.batch_size), config.data.image_size
    return {
        "image": array((*films, size, size, 1), jnp.uint8),
        "label": array(films, jnp.int32),
        "mask": array(films, jnp.float32),
        "film": array(films, jnp.int32),
    }
