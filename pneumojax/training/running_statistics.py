"""Batch norm's running means and variances, all layers' at once.

Layer by layer they would be a thousand small operations, which JAX traces and XLA reads back from
the compilation cache at every start.
"""

import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array, lax
from jax.flatten_util import ravel_pytree

DECAY = 0.95  # from step to step


def squared(statistics: dict) -> dict[str, Array]:
    """Means and mean squares of all layers, whose averages over parts are exact: two vectors.

    Args:
        statistics: a tree of each layer's "mean" and "var"; may be empty.
    """
    mean, var = (ravel_pytree(list(_of(k, statistics).values()))[0] for k in ("mean", "var"))
    return {"mean": mean, "square": var + mean**2}


def moved(statistics: dict, moments: dict[str, Array]) -> dict:
    """Running statistics after a step, towards the `squared` ones of its batch."""
    mean = moments["mean"]
    now = {"mean": mean, "var": jnp.maximum(moments["square"] - mean**2, 0)}
    after: dict[tuple, Array] = {}
    for kind, vector in now.items():
        before = _of(kind, statistics)
        running, divided = ravel_pytree(list(before.values()))
        # Apart, or XLA would make it one operation for each layer again.
        running = lax.optimization_barrier(DECAY * running + (1 - DECAY) * vector)
        after |= dict(zip(before, divided(running), strict=True))
    return unflatten_dict(after)


def _of(kind: str, statistics: dict) -> dict[tuple, Array]:
    """All layers' "mean" or "var", by place."""
    flat = flatten_dict(statistics)
    return {place: flat[place] for place in sorted(flat) if place[-1] == kind}
