"""Runs a function on a few films at a time, so that its intermediates stay in a CPU's caches.

Where a batch is split over devices, each device works through its own films, and sums are added
up over the devices once, at the end.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax


def map_chunks(function: Callable[[Array], Array], films: Array, at_once: int) -> Array:
    """Computes `function(films)` in calls of at most `at_once` films."""
    on_one_device = partial(_map_here, function, at_once)
    devices = _devices_of_a_batch(len(films))
    if devices == 1:
        return on_one_device(films)
    results = jax.vmap(on_one_device)(_by_device(films, devices))
    return results.reshape(-1, *results.shape[2:])


def sum_chunks(function: Callable[..., Array], films: tuple[Array, ...], at_once: int) -> Array:
    """Adds up `function(*films)` over calls of at most `at_once` films."""
    on_one_device = partial(_sum_here, function, at_once)
    devices = _devices_of_a_batch(len(films[0]))
    if devices == 1:
        return on_one_device(*films)
    return jax.vmap(on_one_device)(*(_by_device(array, devices) for array in films)).sum(0)


def _map_here(function: Callable[[Array], Array], at_once: int, films: Array) -> Array:
    chunks = _in_chunks(films, at_once)
    if len(chunks) == 1:
        return function(films)
    results = lax.map(function, chunks)
    return results.reshape(-1, *results.shape[2:])


def _sum_here(function: Callable[..., Array], at_once: int, *films: Array) -> Array:
    chunks = [_in_chunks(array, at_once) for array in films]
    if len(chunks[0]) == 1:
        return function(*films)
    function = jax.jit(function)  # one trace serves both the shape and the scan
    total = jax.eval_shape(function, *(array[0] for array in chunks))
    return lax.scan(
        lambda total, chunk: (total + function(*chunk), None),
        jnp.zeros(total.shape, total.dtype),
        chunks,
    )[0]


def _in_chunks(films: Array, at_once: int) -> Array:
    """Reshapes to (chunks, films, ...), by the largest chunk that divides the batch."""
    count = len(films)
    size = max(n for n in range(1, min(at_once, count) + 1) if count % n == 0)
    return films.reshape(-1, size, *films.shape[1:])


def _by_device(films: Array, devices: int) -> Array:
    """Reshapes to (devices, films, ...)."""
    return films.reshape(devices, -1, *films.shape[1:])


def _devices_of_a_batch(films: int) -> int:
    """The number of devices that a traced batch may be split over; 1 inside `jax.shard_map`."""
    mesh = jax.sharding.get_abstract_mesh()
    alone = not mesh.empty and set(mesh.manual_axes) == set(mesh.axis_names)
    return 1 if alone else math.gcd(films, jax.device_count())
