"""The mesh of devices, and where arrays lie on it: on every device, or split by films."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def make_mesh() -> Mesh:
    """All devices on one axis, `data`, over which the films of every batch are split."""
    # With synchronous dispatch, a single CPU computes a step in the calling thread, whose heap
    # keeps its memory from step to step (`pneumojax.training.heap`). XLA's own threads return it
    # to the system. JAX reads this setting when it first looks for devices.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return Mesh(np.array(jax.devices()), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """One axis of an array, by default the leading one, divided among the devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, mesh.axis_names[0]))


def on_all_devices(values: Any, mesh: Mesh) -> Any:
    """A tree of host arrays, each copied to every device; all processes have the same values."""
    everywhere = replicated(mesh)
    return jax.tree.map(
        lambda value: jax.make_array_from_callback(value.shape, everywhere, lambda _: value), values
    )


def placed(abstract: Any, mesh: Mesh) -> Any:
    """The shapes of a tree, marked as replicated: a checkpoint is restored to such a target."""
    everywhere = replicated(mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), abstract
    )
