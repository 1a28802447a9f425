"""A few films after the other, so that what lies between two operations stays in a CPU's caches.

Films of one batch may lie on different devices: each takes its own, and sums are kept apart until
one sum over the devices.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax


def mapped(function: Callable[[Array], Array], films: Array, at_once: int) -> Array:
    """`function(films)`, of no more than `at_once` films in one call."""
    here = partial(_mapped, function, at_once)
    devices = _devices_of_a_batch(len(films))
    if devices == 1:
        return here(films)
    made = jax.vmap(here)(_divided(films, devices))
    return made.reshape(-1, *made.shape[2:])


def summed(function: Callable[..., Array], films: tuple[Array, ...], at_once: int) -> Array:
    """The sum of `function(*films)`, of no more than `at_once` films in one call."""
    here = partial(_summed, function, at_once)
    devices = _devices_of_a_batch(len(films[0]))
    if devices == 1:
        return here(*films)
    return jax.vmap(here)(*(_divided(array, devices) for array in films)).sum(0)


def _mapped(function: Callable[[Array], Array], at_once: int, films: Array) -> Array:
    steps = _in_steps(films, at_once)
    if len(steps) == 1:
        return function(films)
    made = lax.map(function, steps)
    return made.reshape(-1, *made.shape[2:])


def _summed(function: Callable[..., Array], at_once: int, *films: Array) -> Array:
    steps = [_in_steps(array, at_once) for array in films]
    if len(steps[0]) == 1:
        return function(*films)
    function = jax.jit(function)  # traced once for its shape and its steps
    total = jax.eval_shape(function, *(array[0] for array in steps))
    return lax.scan(
        lambda total, some: (total + function(*some), None),
        jnp.zeros(total.shape, total.dtype),
        steps,
    )[0]


def _in_steps(films: Array, at_once: int) -> Array:
    """As (steps, films, ...): as many films as divide them all."""
    count = len(films)
    few = max(n for n in range(1, min(at_once, count) + 1) if count % n == 0)
    return films.reshape(-1, few, *films.shape[1:])


def _divided(films: Array, devices: int) -> Array:
    """As (devices, films, ...)."""
    return films.reshape(devices, -1, *films.shape[1:])


def _devices_of_a_batch(films: int) -> int:
    """Over how many devices the films being traced may be split; inside `jax.shard_map` over 1."""
    mesh = jax.sharding.get_abstract_mesh()
    alone = not mesh.empty and set(mesh.manual_axes) == set(mesh.axis_names)
    return 1 if alone else math.gcd(films, jax.device_count())
