"""The train step compiled ahead of its first batch: what training and profiling both run."""

import time

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from pneumojax.inference.network import Network
from pneumojax.sharding import replicated
from pneumojax.training import heap
from pneumojax.training.state import State
from pneumojax.training.step import make_train_step


def compile_step(
    config: ConfigDict,
    network: Network,
    optimizer: optax.GradientTransformation,
    state: State,
    steps_per_epoch: int,
    mesh: Mesh,
    class_weights: tuple[float, float] = (1.0, 1.0),
) -> jax.stages.Compiled:
    """The train step compiled for one shape of batch; another shape would be an error.

    It is called as `(state, batch) -> (state, metrics)`. The state passed in is used up.
    """
    split = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    size = (config.batch_size,)
    image = (*size, config.data.image_size, config.data.image_size, 1)
    batch = {
        "image": jax.ShapeDtypeStruct(image, jnp.uint8, sharding=split),
        "label": jax.ShapeDtypeStruct(size, jnp.int32, sharding=split),
        "mask": jax.ShapeDtypeStruct(size, jnp.float32, sharding=split),
        "film": jax.ShapeDtypeStruct(size, jnp.int32, sharding=split),
    }
    everywhere = replicated(mesh)
    train_step = jax.jit(
        make_train_step(config, network, optimizer, steps_per_epoch, mesh, class_weights),
        donate_argnums=0,  # the new state takes the old one's memory
        out_shardings=(everywhere, everywhere),
    )
    print("compiling the train step ...", flush=True)
    began = time.perf_counter()
    compiled = train_step.lower(state, batch).compile()
    print(f"compiled in {time.perf_counter() - began:.1f} s")
    needs = compiled.memory_analysis()  # None where the compiler does not tell
    if needs and jax.default_backend() == "cpu" and jax.local_device_count() == 1:
        heap.set_aside(needs.temp_size_in_bytes)
    return compiled
