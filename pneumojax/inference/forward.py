"""A network applied to a batch of uint8 films, over all devices and a few films at a time."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec
from jax.typing import DTypeLike

from pneumojax.inference.network import Network
from pneumojax.nn.ops import FILMS_IN_CACHE

# (params, uint8 images (batch, h, w, 1)) -> arrays whose first axis is the batch.
Forward = Callable[[dict, Array], Any]


def to_unit_range(images: Array, dtype: DTypeLike = jnp.float32) -> Array:
    """uint8 (batch, h, w, 1) -> the same shape in [0, 1], as `dtype` but at least float32."""
    return images.astype(jnp.promote_types(jnp.float32, dtype)) / 255


def microbatch_size(films: int, mesh: Mesh, wanted: int = 0) -> int:
    """How many of a device's `films` go through the network at a time.

    On a CPU that is four, whose activations fit its caches: a step takes two thirds of the time
    of the whole batch at once and a tenth of its memory (docs/performance.md). On accelerators it
    is the whole batch.

    Args:
        wanted: replaces that number unless it is 0; if it does not divide `films`, the largest
            common divisor is taken.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return math.gcd(films, wanted or (FILMS_IN_CACHE if on_cpu else films))


def make_forward(network: Network, mesh: Mesh) -> Forward:
    """A pure `(params, uint8 images (batch, h, w, 1)) -> logits (batch,)`, without dropout.

    The devices must divide the batch. Jit it.
    """

    def logits(params: dict, images: Array) -> Array:
        return network.evaluation_logits(params, to_unit_range(images))

    return over_microbatches(logits, mesh)


def over_microbatches(forward: Forward, mesh: Mesh) -> Forward:
    """Splits the batch over the devices, and each device's part into microbatches.

    Films are independent in `forward`, so the results differ from those of the whole batch at
    once in rounding alone.
    """
    axis = mesh.axis_names[0]

    def on_device(params: dict, images: Array) -> Any:
        at_once = microbatch_size(len(images), mesh)
        if at_once == len(images):
            return forward(params, images)
        parts = images.reshape(-1, at_once, *images.shape[1:])
        results = lax.map(lambda part: forward(params, part), parts)
        return jax.tree.map(lambda result: result.reshape(-1, *result.shape[2:]), results)

    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(axis)),
        out_specs=PartitionSpec(axis),
        check_vma=False,
    )
