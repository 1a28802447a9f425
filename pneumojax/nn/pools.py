"""Max and average pool, along the columns and then along the rows.

On accelerators a max pool is the vendor's. On a CPU, where XLA's gradients scatter, pools and their
gradients are the largest and the sum of shifted slices.
"""

import functools
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pneumojax.nn.ops import Pair


# Jitted, here and below, so that layers of one shape are traced once.
@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
@partial(jax.jit, static_argnums=(1, 2, 3))
def max_pool(x: Array, window: Pair, strides: Pair, padding: str = "VALID") -> Array:
    """Largest value of each window; padding never wins.

    Where values tie, the whole gradient goes to one of them: on a CPU to the first row of the
    first column that has it, on accelerators to the first in row-major order.
    """
    return lax.platform_dependent(
        x,
        cpu=partial(_max_by_slices, window=window, strides=strides, padding=padding),
        default=partial(_max_by_windows, window=window, strides=strides, padding=padding),
    )


def _max_pool_forward(x: Array, window: Pair, strides: Pair, padding: str) -> tuple[Array, Array]:
    return max_pool(x, window, strides, padding), x


@partial(jax.jit, static_argnums=(0, 1, 2))
def _max_pool_backward(
    window: Pair, strides: Pair, padding: str, x: Array, gradient: Array
) -> tuple[Array]:
    windows = partial(_max_by_windows, window=window, strides=strides, padding=padding)
    x_gradient = lax.platform_dependent(
        x,
        gradient,
        cpu=partial(_max_gradient_by_slices, window=window, strides=strides, padding=padding),
        default=lambda x, g: jax.vjp(windows, x)[1](g)[0],
    )
    return (x_gradient,)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _max_by_windows(x: Array, window: Pair, strides: Pair, padding: str) -> Array:
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), padding.upper()
    )


def _max_by_slices(x: Array, window: Pair, strides: Pair, padding: str) -> Array:
    """Max pool as the largest of shifted slices, along the columns, then along the rows."""
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    x = _max_along(1, x, window[0], strides[0], pads[0])
    return _max_along(2, x, window[1], strides[1], pads[1])


def _max_along(axis: int, x: Array, size: int, stride: int, pads: Pair) -> Array:
    return functools.reduce(jnp.maximum, _slices(_padded(x, axis, pads), axis, size, stride))


def _max_gradient_by_slices(
    x: Array, gradient: Array, window: Pair, strides: Pair, padding: str
) -> Array:
    """Gradient of `_max_by_slices`: the earlier of equal slices wins."""
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    tall = _max_along(1, x, window[0], strides[0], pads[0])
    gradient = _max_gradient_along(2, tall, gradient, window[1], strides[1], pads[1])
    return _max_gradient_along(1, x, gradient, window[0], strides[0], pads[0])


def _max_gradient_along(
    axis: int, x: Array, gradient: Array, size: int, stride: int, pads: Pair
) -> Array:
    first, *others = _slices(_padded(x, axis, pads), axis, size, stride)
    largest, winner = first, jnp.zeros(first.shape, jnp.int8)
    for place, other in enumerate(others, start=1):
        winner = jnp.where(other > largest, jnp.int8(place), winner)
        largest = jnp.maximum(largest, other)
    length = x.shape[axis]
    spread = [
        _spread(winner, axis, length, size, stride, pads[0], fill=-1),
        _spread(gradient, axis, length, size, stride, pads[0]),
    ]
    # Fused into the sum, the paddings would be a branch at each of its elements.
    winner, gradient = lax.optimization_barrier(spread)
    total = jnp.zeros_like(x)
    for place in range(size):
        begin = size - 1 - place
        won = lax.slice_in_dim(winner, begin, begin + length, axis=axis) == place
        total += jnp.where(won, lax.slice_in_dim(gradient, begin, begin + length, axis=axis), 0)
    return total


def _spread(
    x: Array, axis: int, length: int, size: int, stride: int, pad: int, fill: int = 0
) -> Array:
    """Values of windows to where each begins along an axis: a window's place k lies k further on.

    Args:
        length, pad: of what the windows are taken from, and of the padding before it.
    """
    before = size - 1 - pad
    after = length + size - 1 - (before + (x.shape[axis] - 1) * stride + 1)
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (before, after, stride - 1)
    return lax.pad(x, np.array(fill, x.dtype), config)


def _padded(x: Array, axis: int, pads: Pair) -> Array:
    """With values that win no maximum around it, along one axis."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (*pads, 0)
    return lax.pad(x, jnp.array(-jnp.inf, x.dtype), config)


def _slices(x: Array, axis: int, size: int, stride: int) -> list[Array]:
    """What each place of a window sees, along one axis."""
    last = (x.shape[axis] - size) // stride * stride
    return [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def average_pool(
    x: Array, window: Pair, strides: Pair, padding: str = "VALID", count_padding: bool = False
) -> Array:
    """Mean of each window; with padding, of what lies inside it unless `count_padding`."""
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    total = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    for axis, size, stride in zip((1, 2), window, strides, strict=True):
        total = functools.reduce(lax.add, _slices(total, axis, size, stride))
    return total / _window_sizes(x.shape, window, strides, pads, count_padding).astype(x.dtype)


def _average_pool_forward(
    x: Array, window: Pair, strides: Pair, padding: str, count_padding: bool
) -> tuple[Array, Array]:
    no_films = x[:0]  # for its shape
    return average_pool(x, window, strides, padding, count_padding), no_films


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _average_pool_backward(
    window: Pair, strides: Pair, padding: str, count_padding: bool, no_films: Array, gradient: Array
) -> tuple[Array]:
    """The sum over the windows that each place is in.

    JAX would derive a padding for each place of a window, with a branch at each element.
    """
    shape = no_films.shape
    pads = lax.padtype_to_pads(shape[1:3], window, strides, padding)
    sizes = _window_sizes(shape, window, strides, pads, count_padding)
    total = gradient / sizes.astype(gradient.dtype)
    for axis, size, stride, (before, _) in zip((1, 2), window, strides, pads, strict=True):
        # Apart, for the same reason.
        spread = lax.optimization_barrier(_spread(total, axis, shape[axis], size, stride, before))
        total = functools.reduce(lax.add, _slices(spread, axis, size, 1))
    return (total,)


average_pool.defvjp(_average_pool_forward, _average_pool_backward)


def _window_sizes(
    shape: Sequence[int],
    window: Pair,
    strides: Pair,
    pads: Sequence[Pair],
    count_padding: bool,
) -> np.ndarray:
    """How many places each window has, (h', w', 1): inside the padding unless `count_padding`."""
    counts = []
    for side, size, stride, pad in zip(shape[1:3], window, strides, pads, strict=True):
        inside = np.pad(np.ones(side), pad, constant_values=float(count_padding))
        begins = range(0, inside.size - size + 1, stride)
        counts.append(np.array([inside[i : i + size].sum() for i in begins]))
    return np.outer(*counts)[..., None]
