"""Max and average pool, computed along the columns and then along the rows.

On accelerators a max pool is the vendor's operation. On a CPU, XLA computes the gradient of a pool
by a slow scatter, so there pools and their gradients are maxima and sums of shifted slices.
"""

import functools
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pneumojax.nn.ops import Pair


# Jitted, here and below, so that JAX traces layers of equal shape only once.
@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
@partial(jax.jit, static_argnums=(1, 2, 3))
def max_pool(x: Array, window: Pair, strides: Pair, padding: str = "VALID") -> Array:
    """The largest value of each window; padding is never the largest.

    x is (batch, h, w, channels). If several values of a window are largest, one of them gets the
    whole gradient: on a CPU the first in column-major order, on accelerators in row-major order.
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
    """Max pool as the maximum of shifted slices, along the columns, then along the rows."""
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    x = _max_along(1, x, window[0], strides[0], pads[0])
    return _max_along(2, x, window[1], strides[1], pads[1])


def _max_along(axis: int, x: Array, size: int, stride: int, pads: Pair) -> Array:
    return functools.reduce(jnp.maximum, _slices(_padded(x, axis, pads), axis, size, stride))


def _max_gradient_by_slices(
    x: Array, gradient: Array, window: Pair, strides: Pair, padding: str
) -> Array:
    """Gradient of `_max_by_slices`; of equal slices the earlier one gets it."""
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    tall = _max_along(1, x, window[0], strides[0], pads[0])
    gradient = _max_gradient_along(2, tall, gradient, window[1], strides[1], pads[1])
    return _max_gradient_along(1, x, gradient, window[0], strides[0], pads[0])


def _max_gradient_along(
    axis: int, x: Array, gradient: Array, size: int, stride: int, pads: Pair
) -> Array:
    first, *others = _slices(_padded(x, axis, pads), axis, size, stride)
    largest, winner = first, jnp.zeros(first.shape, jnp.int8)
    for position, other in enumerate(others, start=1):
        winner = jnp.where(other > largest, jnp.int8(position), winner)
        largest = jnp.maximum(largest, other)
    length = x.shape[axis]
    spread = [
        _spread(winner, axis, length, size, stride, pads[0], fill=-1),
        _spread(gradient, axis, length, size, stride, pads[0]),
    ]
    # The barrier keeps XLA from fusing the paddings into the sum, where they would cost a branch
    # for each element.
    winner, gradient = lax.optimization_barrier(spread)
    total = jnp.zeros_like(x)
    for position in range(size):
        begin = size - 1 - position
        won = lax.slice_in_dim(winner, begin, begin + length, axis=axis) == position
        total += jnp.where(won, lax.slice_in_dim(gradient, begin, begin + length, axis=axis), 0)
    return total


def _spread(
    x: Array, axis: int, length: int, size: int, stride: int, pad: int, fill: int = 0
) -> Array:
    """Moves the windows' values to the positions where the windows begin, along one axis.

    Position k of a window then lies k further on.

    Args:
        length: of the axis that the windows were taken from.
        pad: padding before that axis.
        fill: value of the positions where no window begins.
    """
    before = size - 1 - pad
    after = length + size - 1 - (before + (x.shape[axis] - 1) * stride + 1)
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (before, after, stride - 1)
    return lax.pad(x, np.array(fill, x.dtype), config)


def _padded(x: Array, axis: int, pads: Pair) -> Array:
    """Pads one axis with -inf, which is never the largest value."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (*pads, 0)
    return lax.pad(x, jnp.array(-jnp.inf, x.dtype), config)


def _slices(x: Array, axis: int, size: int, stride: int) -> list[Array]:
    """For each position in a window, the values that all windows see there, along one axis."""
    last = (x.shape[axis] - size) // stride * stride
    return [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def average_pool(
    x: Array, window: Pair, strides: Pair, padding: str = "VALID", count_padding: bool = False
) -> Array:
    """The mean of each window of x (batch, h, w, channels).

    With `count_padding` padding counts as zeros; without, only values inside of x are averaged.
    """
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    total = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    for axis, size, stride in zip((1, 2), window, strides, strict=True):
        total = functools.reduce(lax.add, _slices(total, axis, size, stride))
    return total / _window_sizes(x.shape, window, strides, pads, count_padding).astype(x.dtype)


def _average_pool_forward(
    x: Array, window: Pair, strides: Pair, padding: str, count_padding: bool
) -> tuple[Array, Array]:
    no_films = x[:0]  # keeps only the shape
    return average_pool(x, window, strides, padding, count_padding), no_films


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _average_pool_backward(
    window: Pair, strides: Pair, padding: str, count_padding: bool, no_films: Array, gradient: Array
) -> tuple[Array]:
    """Adds up, for each position, the gradients of the windows that it is in.

    The gradient that JAX derives pads once for each position of a window, at the cost of a branch
    for each element.
    """
    shape = no_films.shape
    pads = lax.padtype_to_pads(shape[1:3], window, strides, padding)
    sizes = _window_sizes(shape, window, strides, pads, count_padding)
    total = gradient / sizes.astype(gradient.dtype)
    for axis, size, stride, (before, _) in zip((1, 2), window, strides, pads, strict=True):
        # The barrier is here for the same reason as in `_max_gradient_along`.
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
    """The number of values that each window averages, (h', w', 1)."""
    counts = []
    for side, size, stride, pad in zip(shape[1:3], window, strides, pads, strict=True):
        inside = np.pad(np.ones(side), pad, constant_values=float(count_padding))
        begins = range(0, inside.size - size + 1, stride)
        counts.append(np.array([inside[i : i + size].sum() for i in begins]))
    return np.outer(*counts)[..., None]
