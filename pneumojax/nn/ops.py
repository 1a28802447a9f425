"""Convolution and pooling, the primitives that every network here is made of.

All images are NHWC, `(batch, height, width, channels)`; padding is "SAME" or "VALID". No block
calls `jax.lax` for these itself. On accelerators they are the vendor's; on a CPU, where XLA's
filter gradients run at a tenth of a matrix product's speed and its pool gradients scatter, the
same functions are computed as matrix products and shifted slices, and where it pays by Winograd's
fewer products. The platform is chosen when a function is lowered, so one program text serves all.
docs/performance.md has the figures.
"""

import functools
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pneumojax.nn import films_at_once, winograd

Pair = tuple[int, int]
# Of this many films what a layer reads and writes stays in a CPU's caches.
FILMS_IN_CACHE = 4
# Channels, from which on a 1x1 convolution is quicker on a CPU as a plain matrix product.
WIDE = 512


# Jitted, here and below, so that layers of one shape are traced once.
@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
@partial(jax.jit, static_argnums=(2, 3))
def convolution(x: Array, kernel: Array, strides: Pair = (1, 1), padding: str = "SAME") -> Array:
    """`x` (batch, h, w, in) by `kernel` (rows, columns, in, out) -> (batch, h', w', out)."""
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(_convolution, strides=strides, pads=pads),
        default=partial(_direct, strides=strides, padding=pads),
    )


def _convolution(x: Array, kernel: Array, strides: Pair, pads: Sequence[Pair]) -> Array:
    """By the way that is quickest on a CPU."""
    *window, into, features = kernel.shape
    if strides == (1, 1) and winograd.pays(x, kernel, pads):
        return winograd.convolution(x, kernel, pads)
    if (*strides, *window) == (1, 1, 1, 1) and max(into, features) >= WIDE:
        return lax.dot_general(x, kernel[0, 0], (((3,), (0,)), ((), ())))
    return _direct(x, kernel, strides, pads)


def _direct(x: Array, kernel: Array, strides: Pair, padding: str | Sequence[Pair]) -> Array:
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _convolution_forward(
    x: Array, kernel: Array, strides: Pair, padding: str
) -> tuple[Array, tuple[Array, Array]]:
    return convolution(x, kernel, strides, padding), (x, kernel)


@partial(jax.jit, static_argnums=(0, 1))
def _convolution_backward(
    strides: Pair, padding: str, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    window = kernel.shape[0], kernel.shape[1]
    plain = partial(_direct, strides=strides, padding=padding)
    # Two choices and not one, so that the first layer's unused input gradient can be left out.
    x_gradient = lax.platform_dependent(
        x,
        kernel,
        gradient,
        cpu=partial(_input_gradient, strides=strides, padding=padding),
        default=lambda x, k, g: jax.vjp(lambda x: plain(x, k), x)[1](g)[0],
    )
    kernel_gradient = lax.platform_dependent(
        x,
        gradient,
        cpu=partial(_kernel_gradient, window=window, strides=strides, padding=padding),
        default=lambda x, g: jax.vjp(lambda k: plain(x, k), kernel)[1](g)[0],
    )
    return x_gradient, kernel_gradient


convolution.defvjp(_convolution_forward, _convolution_backward)


def _input_gradient(x: Array, kernel: Array, gradient: Array, strides: Pair, padding: str) -> Array:
    """Convolution of the output's gradient with the turned kernel.

    The turn is written out: where XLA:CPU is left to read the kernel backwards, it may fall back
    to a loop that is ten times slower.
    """
    window, sizes = kernel.shape[:2], x.shape[1:3]
    pads = []
    for axis, (before, _) in enumerate(lax.padtype_to_pads(sizes, window, strides, padding)):
        spread = (gradient.shape[1 + axis] - 1) * strides[axis] + 1
        before = window[axis] - 1 - before
        pads.append((before, sizes[axis] + window[axis] - 1 - spread - before))
    turned = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    if strides == (1, 1):
        return _convolution(gradient, turned, strides, pads)
    return lax.conv_general_dilated(
        gradient,
        turned,
        (1, 1),
        pads,
        lhs_dilation=strides,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _kernel_gradient(x: Array, gradient: Array, window: Pair, strides: Pair, padding: str) -> Array:
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    kernel = jax.ShapeDtypeStruct((*window, x.shape[-1], gradient.shape[-1]), x.dtype)
    if strides == (1, 1) and winograd.pays(x, kernel, pads):
        return winograd.kernel_gradient(x, gradient, window, pads)
    return _kernel_gradient_by_products(x, gradient, window, strides, pads)


def _kernel_gradient_by_products(
    x: Array, gradient: Array, window: Pair, strides: Pair, pads: Sequence[Pair]
) -> Array:
    """Filter gradient: for each place in the window, the film seen from there times the gradient.

    Sums are at least float32.
    """
    (height, width), features = gradient.shape[1:3], gradient.shape[-1]
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def product(films: Array, gradients: Array) -> Array:
        films = jnp.pad(films, ((0, 0), *pads, (0, 0)))
        gradients = gradients.reshape(-1, features)
        places = [
            lax.dot_general(
                films[
                    :,
                    i : i + (height - 1) * strides[0] + 1 : strides[0],
                    j : j + (width - 1) * strides[1] + 1 : strides[1],
                ].reshape(-1, x.shape[-1]),
                gradients,
                (((0,), (0,)), ((), ())),
                preferred_element_type=wide,
            )
            for i in range(window[0])
            for j in range(window[1])
        ]
        return jnp.stack(places).reshape(*window, x.shape[-1], features)

    total = films_at_once.summed(product, (x, gradient), FILMS_IN_CACHE)
    return total.astype(x.dtype)


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
    # Spread to where each window begins, so that a window's place k lies k further on.
    length = x.shape[axis]
    before = size - 1 - pads[0]
    after = length + size - 1 - (before + (gradient.shape[axis] - 1) * stride + 1)
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (before, after, stride - 1)
    spread = [
        lax.pad(winner, jnp.int8(-1), config),
        lax.pad(gradient, jnp.zeros((), gradient.dtype), config),
    ]
    # Fused into the sum, the paddings would be a branch at each of its elements.
    winner, gradient = lax.optimization_barrier(spread)
    total = jnp.zeros_like(x)
    for place in range(size):
        begin = size - 1 - place
        won = lax.slice_in_dim(winner, begin, begin + length, axis=axis) == place
        total += jnp.where(won, lax.slice_in_dim(gradient, begin, begin + length, axis=axis), 0)
    return total


def _padded(x: Array, axis: int, pads: Pair) -> Array:
    """With values that win no maximum around it, along one axis."""
    config = [(0, 0, 0)] * x.ndim
    config[axis] = (*pads, 0)
    return lax.pad(x, jnp.array(-jnp.inf, x.dtype), config)


def _slices(x: Array, axis: int, size: int, stride: int) -> list[Array]:
    """What each place of a window sees, along one axis."""
    last = (x.shape[axis] - size) // stride * stride
    return [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def average_pool(
    x: Array, window: Pair, strides: Pair, padding: str = "VALID", count_padding: bool = False
) -> Array:
    """Mean of each window; with padding, of what lies inside it unless `count_padding`."""
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    total = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    inside = [
        np.pad(np.ones(side), pad, constant_values=float(count_padding))
        for side, pad in zip(x.shape[1:3], pads, strict=True)
    ]
    counts = []
    for axis, size, stride in zip((1, 2), window, strides, strict=True):
        first, *others = _slices(total, axis, size, stride)
        total = sum(others, start=first)
        begins = range(0, inside[axis - 1].size - size + 1, stride)
        counts.append(np.array([inside[axis - 1][i : i + size].sum() for i in begins]))
    return total / np.outer(*counts)[..., None].astype(x.dtype)


def relu(x: Array) -> Array:
    """max(x, 0), with gradient 0 at 0."""
    return jax.nn.relu(x)


ACTIVATIONS = {"relu": relu, "silu": jax.nn.silu, "gelu": jax.nn.gelu}
