"""Batch norm's running means and variances, those of all layers at once.

Layer by layer they would be a thousand small operations, which JAX traces and XLA loads from the
compilation cache at every start.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array, lax
from jax.flatten_util import ravel_pytree

DECAY = 0.95  # the share of the running statistics that a step keeps


class Moments(NamedTuple):
    """Means and mean squares of all layers, concatenated; unlike variances they can be averaged."""

    mean: Array
    square: Array


def moments_of(statistics: dict) -> Moments:
    """The moments of a tree that holds each layer's "mean" and "var"; the tree may be empty."""
    mean, var = (
        ravel_pytree(list(_by_path(name, statistics).values()))[0] for name in ("mean", "var")
    )
    return Moments(mean, var + mean**2)


def updated_statistics(statistics: dict, moments: Moments) -> dict:
    """The running statistics after a step whose batch has these moments."""
    var = jnp.maximum(moments.square - moments.mean**2, 0)
    updated: dict[tuple, Array] = {}
    for name, vector in (("mean", moments.mean), ("var", var)):
        before = _by_path(name, statistics)
        running, divided = ravel_pytree(list(before.values()))
        # Without the barrier XLA would split this into an operation for each layer again.
        running = lax.optimization_barrier(DECAY * running + (1 - DECAY) * vector)
        updated |= dict(zip(before, divided(running), strict=True))
    return unflatten_dict(updated)


def _by_path(name: str, statistics: dict) -> dict[tuple, Array]:
    flat = flatten_dict(statistics)
    return {path: flat[path] for path in sorted(flat) if path[-1] == name}
