"""A few films after the other, so that what lies between two operations stays in a CPU's caches.

Films of one batch may lie on different devices: steps are taken on all of them side by side.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax


def mapped(function: Callable[[Array], Array], films: Array, at_once: int) -> Array:
    """`function(films)`, of no more than `at_once` films of each device in one call."""
    (steps,) = _in_steps((films,), at_once)
    if len(steps) == 1:
        return function(films)
    count, devices, few = steps.shape[:3]

    def step(_: None, some: Array) -> tuple[None, Array]:
        made = function(some.reshape(devices * few, *some.shape[2:]))
        return None, made.reshape(devices, few, *made.shape[1:])

    made = lax.scan(step, None, steps)[1]
    return made.swapaxes(0, 1).reshape(devices * count * few, *made.shape[3:])


def summed(function: Callable[..., Any], films: tuple[Array, ...], at_once: int) -> Any:
    """The sum of `function(*films)`, of no more than `at_once` films of each device in one call.

    Films that lie on different devices are kept apart until one sum over the devices.
    """
    steps = _in_steps(films, at_once)
    each_device = jax.jit(jax.vmap(function))  # traced once for its shape and its steps
    if len(steps[0]) == 1:
        totals = each_device(*(array[0] for array in steps))
    else:
        nothing = jax.tree.map(
            lambda total: jnp.zeros(total.shape, total.dtype),
            jax.eval_shape(each_device, *(array[0] for array in steps)),
        )
        totals, _ = lax.scan(
            lambda totals, some: (jax.tree.map(jnp.add, totals, each_device(*some)), None),
            nothing,
            steps,
        )
    return jax.tree.map(lambda total: total.sum(0), totals)


def _in_steps(films: tuple[Array, ...], at_once: int) -> tuple[Array, ...]:
    """Each as (steps, devices, films, ...): as many films as divide a device's share."""
    count = len(films[0])
    devices = math.gcd(count, _devices_of_a_batch())
    share = count // devices
    few = max(n for n in range(1, min(at_once, share) + 1) if share % n == 0)
    return tuple(a.reshape(devices, -1, few, *a.shape[1:]).swapaxes(0, 1) for a in films)


def _devices_of_a_batch() -> int:
    """Over how many devices the films being traced may be split; inside `jax.shard_map` over 1."""
    mesh = jax.sharding.get_abstract_mesh()
    alone = not mesh.empty and set(mesh.manual_axes) == set(mesh.axis_names)
    return 1 if alone else jax.device_count()
