"""The train step compiled ahead of its first batch, for training and for profiling."""

import time
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.sharding import replicated, split
from pneumojax.training import heap
from pneumojax.training.state import TrainState
from pneumojax.training.step import TrainStep


def compile_step(
    train_step: TrainStep, state: TrainState, config: ConfigDict, mesh: Mesh
) -> jax.stages.Compiled:
    """`(state, batch) -> (state, metrics)` for one shape of batch, which donates the state."""
    everywhere = replicated(mesh)
    jitted = jax.jit(
        train_step,
        donate_argnums=0,  # the new state takes the memory of the old one
        out_shardings=(everywhere, everywhere),
    )
    print("compiling the train step ...", flush=True)
    began = time.perf_counter()
    compiled = jitted.lower(state, _abstract_batch(config, mesh)).compile()
    print(f"compiled in {time.perf_counter() - began:.1f} s")
    needs = compiled.memory_analysis()  # None if the backend does not report it
    if needs and jax.default_backend() == "cpu" and jax.local_device_count() == 1:
        heap.reserve(needs.temp_size_in_bytes)
    return compiled


def _abstract_batch(config: ConfigDict, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    films, size = config.batch_size, config.data.image_size
    array = partial(jax.ShapeDtypeStruct, sharding=split(mesh))
    return {
        "image": array((films, size, size, 1), jnp.uint8),
        "label": array((films,), jnp.int32),
        "mask": array((films,), jnp.float32),
        "film": array((films,), jnp.int32),
    }
