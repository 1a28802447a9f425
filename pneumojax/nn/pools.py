"""Max and average pool of images (batch, height, width, channels).

On accelerators they are XLA's window operations, and their gradients are those that JAX derives. On
a CPU these are slow, the gradient of a max pool above all, which is a scatter. There pools and
their gradients are maxima and sums of shifted slices, along the columns and then along the rows.
"""

import functools
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pneumojax.nn.ops import Pair, by_platform, placed


# Jitted, here and below, so that JAX traces layers of equal shape only once.
@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
@partial(jax.jit, static_argnums=(1, 2, 3))
def max_pool(x: Array, window: Pair, strides: Pair, padding: str = "VALID") -> Array:
    """The largest value of each window; padding is never the largest.

    x is (batch, h, w, channels). If several values of a window are largest, one of them gets the
    whole gradient: on a CPU the first in column-major order, on accelerators in row-major order.
    """
    return by_platform(
        x,
        cpu=partial(_max_by_slices, window=window, strides=strides, padding=padding),
        default=partial(_max_by_windows, window=window, strides=strides, padding=padding),
    )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _max_pool_backward(
    window: Pair, strides: Pair, padding: str, x: Array, gradient: Array
) -> tuple[Array]:
    windows = partial(_max_by_windows, window=window, strides=strides, padding=padding)
    x_gradient = by_platform(
        x,
        gradient,
        cpu=partial(_max_gradient_by_slices, window=window, strides=strides, padding=padding),
        cuda=partial(_max_gradient_by_positions, window=window, strides=strides, padding=padding),
        default=lambda x, g: jax.vjp(windows, x)[1](g)[0],
    )
    return (x_gradient,)


max_pool.defvjp(lambda x, *windows: (max_pool(x, *windows), x), _max_pool_backward)


def _max_by_windows(x: Array, window: Pair, strides: Pair, padding: str) -> Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), padding)


def _max_gradient_by_positions(
    x: Array, gradient: Array, window: Pair, strides: Pair, padding: str
) -> Array:
    """Gradient of `_max_by_windows`: each value collects the gradients of the windows it won.

    XLA has no such operation for NVIDIA GPUs. The one that JAX derives becomes four arrays of
    indices and a scatter there, whose atomic additions round differently from run to run.
    """
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    padded = lax.pad(
        x, jnp.array(-jnp.inf, x.dtype), [(0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)]
    )
    batch, *grid, channels = gradient.shape
    positions = list(np.ndindex(*window))
    # These functions of `lax` are traced in half the time of their counterparts in `jax.numpy`,
    # and a program for a CPU traces them too.
    largest = lax.full(gradient.shape, -jnp.inf, gradient.dtype)
    winner = lax.full(gradient.shape, 0, jnp.int8)
    for number, (i, j) in enumerate(positions):
        ends = [at + (n - 1) * step + 1 for at, n, step in zip((i, j), grid, strides, strict=True)]
        value = lax.slice(padded, (0, i, j, 0), (batch, *ends, channels), (1, *strides, 1))
        winner = lax.select(lax.gt(value, largest), lax.full_like(winner, number), winner)
        largest = lax.max(largest, value)
    gradient = gradient.astype(jnp.promote_types(x.dtype, jnp.float32))
    nothing, total = lax.full_like(gradient, 0), lax.full(x.shape, 0, gradient.dtype)
    for number, position in enumerate(positions):
        won = lax.select(lax.eq(winner, lax.full_like(winner, number)), gradient, nothing)
        total = lax.add(total, placed(won, position, (x.shape[1], x.shape[2]), strides, pads))
    return total.astype(x.dtype)


class _Windows(NamedTuple):
    """The windows along one axis of (batch, height, width, channels)."""

    axis: int  # 1 or 2
    length: int  # of that axis
    size: int
    stride: int
    before: int  # padding
    after: int


def _windows(shape: Sequence[int], window: Pair, strides: Pair, padding: str) -> list[_Windows]:
    """The windows along the height, and along the width, of images of this shape."""
    pads = lax.padtype_to_pads(shape[1:3], window, strides, padding)
    return [_Windows(i + 1, shape[i + 1], window[i], strides[i], *pads[i]) for i in range(2)]


def _max_by_slices(x: Array, window: Pair, strides: Pair, padding: str) -> Array:
    """Max pool as the maximum of shifted slices, along the columns, then along the rows."""
    for windows in _windows(x.shape, window, strides, padding):
        x = _max_along(x, windows)
    return x


def _max_along(x: Array, windows: _Windows) -> Array:
    return functools.reduce(jnp.maximum, _slices(_padded(x, windows), windows))


def _max_gradient_by_slices(
    x: Array, gradient: Array, window: Pair, strides: Pair, padding: str
) -> Array:
    """Gradient of `_max_by_slices`; of equal slices the earlier one gets it."""
    tall, wide = _windows(x.shape, window, strides, padding)
    gradient = _max_gradient_along(_max_along(x, tall), gradient, wide)
    return _max_gradient_along(x, gradient, tall)


def _max_gradient_along(x: Array, gradient: Array, windows: _Windows) -> Array:
    first, *others = _slices(_padded(x, windows), windows)
    largest, winner = first, jnp.zeros(first.shape, jnp.int8)
    for position, other in enumerate(others, start=1):
        winner = jnp.where(other > largest, jnp.int8(position), winner)
        largest = jnp.maximum(largest, other)
    # The barrier keeps XLA from fusing the paddings into the sum, where they would cost a branch
    # for each element.
    spread = [_spread(winner, windows, fill=-1), _spread(gradient, windows)]
    winner, gradient = lax.optimization_barrier(spread)
    total = jnp.zeros_like(x)
    for position in range(windows.size):
        begin = windows.size - 1 - position
        end = begin + windows.length
        won = lax.slice_in_dim(winner, begin, end, axis=windows.axis) == position
        total += jnp.where(won, lax.slice_in_dim(gradient, begin, end, axis=windows.axis), 0)
    return total


def _spread(x: Array, windows: _Windows, fill: int = 0) -> Array:
    """Puts the value of each window where the window begins along its axis, and `fill` elsewhere.

    Position k of a window then lies k places after its value.
    """
    before = windows.size - 1 - windows.before
    last = before + (x.shape[windows.axis] - 1) * windows.stride
    config = [(0, 0, 0)] * x.ndim
    after = windows.length + windows.size - 2 - last
    config[windows.axis] = (before, after, windows.stride - 1)
    return lax.pad(x, np.array(fill, x.dtype), config)


def _padded(x: Array, windows: _Windows) -> Array:
    """Pads the axis with -inf, which is never the largest value."""
    config = [(0, 0, 0)] * x.ndim
    config[windows.axis] = (windows.before, windows.after, 0)
    return lax.pad(x, jnp.array(-jnp.inf, x.dtype), config)


def _slices(x: Array, windows: _Windows) -> list[Array]:
    """For each position in a window, the values that all windows see there."""
    axis, stride = windows.axis, windows.stride
    last = (x.shape[axis] - windows.size) // stride * stride
    return [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(windows.size)]


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def average_pool(
    x: Array, window: Pair, strides: Pair, padding: str = "VALID", count_padding: bool = False
) -> Array:
    """The mean of each window of x (batch, h, w, channels).

    With `count_padding` padding counts as zeros; without, only values inside of x are averaged.
    """
    total = by_platform(
        x,
        cpu=partial(_sum_by_slices, window=window, strides=strides, padding=padding),
        default=partial(_sum_by_windows, window=window, strides=strides, padding=padding),
    )
    tall, wide = _windows(x.shape, window, strides, padding)
    return total / _value_counts(tall, wide, count_padding).astype(x.dtype)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _average_pool_backward(
    window: Pair, strides: Pair, padding: str, count_padding: bool, no_films: Array, gradient: Array
) -> tuple[Array]:
    shape = len(gradient), *no_films.shape[1:]
    tall, wide = _windows(shape, window, strides, padding)
    share = gradient / _value_counts(tall, wide, count_padding).astype(gradient.dtype)
    sums = partial(_sum_by_windows, window=window, strides=strides, padding=padding)
    films = jax.ShapeDtypeStruct(shape, gradient.dtype)
    x_gradient = by_platform(
        share,
        cpu=partial(_sum_gradient_by_slices, tall=tall, wide=wide),
        default=lambda g: jax.linear_transpose(sums, films)(g)[0],
    )
    return (x_gradient,)


# The empty slice keeps only the shape.
average_pool.defvjp(lambda x, *rest: (average_pool(x, *rest), x[:0]), _average_pool_backward)


def _sum_by_windows(x: Array, window: Pair, strides: Pair, padding: str) -> Array:
    return lax.reduce_window(x, 0.0, lax.add, (1, *window, 1), (1, *strides, 1), padding)


def _sum_by_slices(x: Array, window: Pair, strides: Pair, padding: str) -> Array:
    tall, wide = _windows(x.shape, window, strides, padding)
    total = jnp.pad(x, ((0, 0), (tall.before, tall.after), (wide.before, wide.after), (0, 0)))
    for windows in (tall, wide):
        total = functools.reduce(lax.add, _slices(total, windows))
    return total


def _sum_gradient_by_slices(gradient: Array, tall: _Windows, wide: _Windows) -> Array:
    """Adds up, for each position, the gradients of the windows that it is in.

    The gradient that JAX derives pads once for each position of a window, at the cost of a branch
    for each element.
    """
    for windows in (tall, wide):
        # The barrier is here for the same reason as in `_max_gradient_along`.
        spread = lax.optimization_barrier(_spread(gradient, windows))
        gradient = functools.reduce(lax.add, _slices(spread, windows._replace(stride=1)))
    return gradient


def _value_counts(tall: _Windows, wide: _Windows, count_padding: bool) -> np.ndarray:
    """The number of values that each window averages, (h', w', 1)."""
    counts = []
    for windows in (tall, wide):
        padding = windows.before, windows.after
        inside = np.pad(np.ones(windows.length), padding, constant_values=float(count_padding))
        begins = range(0, inside.size - windows.size + 1, windows.stride)
        counts.append(np.array([inside[i : i + windows.size].sum() for i in begins]))
    return np.outer(*counts)[..., None]
