"""The train step compiled ahead of its first batch, for training and for profiling."""

import time
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.data.resident import ResidentFilms
from pneumojax.sharding import replicated, split
from pneumojax.terminal import say
from pneumojax.training import heap
from pneumojax.training.state import TrainState
from pneumojax.training.step import TrainStep, from_rows, in_one_call


def compile_step(
    train_step: TrainStep,
    state: TrainState,
    config: ConfigDict,
    mesh: Mesh,
    *,
    films: ResidentFilms | None = None,
    steps: int | None = None,
) -> jax.stages.Compiled:
    """`(state, batch) -> (state, metrics)` for one shape of batch, which donates the state.

    Args:
        films: if given, it is the second of three arguments, and a batch has only `film` and
            `mask`.
        steps: if given, a call takes so many steps, and batches and metrics have a leading axis
            for them.
    """
    step = train_step if films is None else from_rows(train_step)
    call = step if steps is None else in_one_call(step)
    everywhere = replicated(mesh)
    jitted = jax.jit(
        call,
        donate_argnums=0,  # the new state takes the memory of the old one
        out_shardings=(everywhere, everywhere),
    )
    batch = _abstract_batch(config, mesh, steps)
    if films is not None:
        batch = {name: batch[name] for name in ("film", "mask")}
    what = "the train step" if steps is None else f"{steps} train steps in one call"
    say(f"compiling {what} ...")
    began = time.perf_counter()
    arguments = (state, batch) if films is None else (state, films, batch)
    compiled = jitted.lower(*arguments).compile()
    say(f"compiled in {time.perf_counter() - began:.1f} s")
    needs = compiled.memory_analysis()  # None if the backend does not report it
    if needs and jax.default_backend() == "cpu" and jax.local_device_count() == 1:
        heap.reserve(needs.temp_size_in_bytes)
    return compiled


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
