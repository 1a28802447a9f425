"""Convolution and activation: with `pools`, the primitives that all networks here consist of.

All images are NHWC, `(batch, height, width, channels)`; padding is "SAME" or "VALID". Blocks use
these and not `jax.lax`. Accelerators run the vendor's operations. On a CPU, XLA computes filter
gradients at a tenth of the speed of a matrix product, so there convolutions become matrix products
or, where it pays, Winograd convolutions. JAX chooses the platform when it lowers a function, so
one traced program serves all. docs/performance.md has the figures.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pneumojax.nn import winograd
from pneumojax.nn.chunked import map_chunks, sum_chunks

Pair = tuple[int, int]
# The inputs and outputs of a layer stay in a CPU's caches for this many films.
FILMS_IN_CACHE = 4
# From this many channels on, a 1x1 convolution is faster on a CPU as a plain matrix product.
WIDE = 512
# `with plain_operations(True):` gives XLA's operations to all platforms. Programs for export are
# traced with it, because the operations for CPUs need a known batch size. `jax.jit` traces a
# function again when this changes.
plain_operations = jax.make_user_context(default_value=False)


def by_platform(*args: Array, cpu: Callable, default: Callable, **others: Callable) -> Any:
    """As `lax.platform_dependent`; inside `plain_operations(True)` it always takes `default`."""
    if plain_operations.value:
        return default(*args)
    return lax.platform_dependent(*args, cpu=cpu, default=default, **others)


def convolution(x: Array, kernel: Array, strides: Pair = (1, 1), padding: str = "SAME") -> Array:
    """x (batch, h, w, in) and kernel (rows, columns, in, out) -> (batch, h', w', out).

    The gradients are computed with the precision (`jax.default_matmul_precision`) that was in force
    when this function was called, as with JAX's own functions.
    """
    return _convolution(x, kernel, strides, padding, jax.config.jax_default_matmul_precision)


# Jitted, here and below, so that JAX traces layers of equal shape only once.
@partial(jax.jit, static_argnums=(2, 3))
def _convolved(x: Array, kernel: Array, strides: Pair, padding: str) -> Array:
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    return by_platform(
        x,
        kernel,
        cpu=partial(_convolution_on_cpu, strides=strides, pads=pads),
        default=partial(_by_xla, strides=strides, padding=pads),
    )


def _convolution_on_cpu(x: Array, kernel: Array, strides: Pair, pads: Sequence[Pair]) -> Array:
    """The convolution by the method that is fastest on a CPU."""
    *window, into, features = kernel.shape
    if strides == (1, 1) and winograd.pays(x, kernel, pads):
        return winograd.convolution(x, kernel, pads)
    if (*strides, *window) == (1, 1, 1, 1) and max(into, features) >= WIDE:
        return lax.dot_general(x, kernel[0, 0], (((3,), (0,)), ((), ())))
    return _by_xla(x, kernel, strides, pads)


def _by_xla(x: Array, kernel: Array, strides: Pair, padding: str | Sequence[Pair]) -> Array:
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@partial(jax.jit, static_argnums=(0, 1))
def _gradients(
    strides: Pair, padding: str, x: Array, kernel: Array, gradient: Array
) -> tuple[Array, Array]:
    """The gradients with respect to x and to the kernel."""
    window = kernel.shape[0], kernel.shape[1]
    plain = partial(_by_xla, strides=strides, padding=padding)
    # The platform is chosen separately for each gradient, so that JAX can drop the input gradient
    # of the first layer, which nothing uses.
    x_gradient = by_platform(
        x,
        kernel,
        gradient,
        cpu=partial(_input_gradient, strides=strides, padding=padding),
        default=lambda x, k, g: jax.linear_transpose(lambda x: plain(x, k), x)(g)[0],
    )
    kernel_gradient = by_platform(
        x,
        gradient,
        cpu=partial(_kernel_gradient, window=window, strides=strides, padding=padding),
        default=lambda x, g: jax.linear_transpose(lambda k: plain(x, k), kernel)(g)[0],
    )
    return x_gradient, kernel_gradient


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolution(
    x: Array, kernel: Array, strides: Pair, padding: str, precision: str | None
) -> Array:
    del precision  # the caller's, which holds here as well
    return _convolved(x, kernel, strides, padding)


def _backward(
    strides: Pair,
    padding: str,
    precision: str | None,
    saved: tuple[Array, Array],
    gradient: Array,
) -> tuple[Array, Array]:
    # JAX calls this after the caller's block has ended, so the precision is set again.
    with jax.default_matmul_precision(precision):
        return _gradients(strides, padding, *saved, gradient)


_convolution.defvjp(lambda *args: (_convolved(*args[:4]), args[:2]), _backward)


def _input_gradient(x: Array, kernel: Array, gradient: Array, strides: Pair, padding: str) -> Array:
    """Convolves the output's gradient with the flipped kernel; with strides, uses products.

    The kernel is flipped explicitly. Where XLA:CPU reads it backwards instead, it may fall back to
    a loop that is ten times slower.
    """
    window, sizes = kernel.shape[:2], (x.shape[1], x.shape[2])
    pads = lax.padtype_to_pads(sizes, window, strides, padding)
    if strides != (1, 1):
        return _input_gradient_by_products(kernel, gradient, sizes, strides, pads)
    pads = [
        (taps - 1 - before, size + before - seen)
        for taps, size, (before, _), seen in zip(
            window, sizes, pads, gradient.shape[1:3], strict=True
        )
    ]
    return _convolution_on_cpu(gradient, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), strides, pads)


def _input_gradient_by_products(
    kernel: Array, gradient: Array, sizes: Pair, strides: Pair, pads: Sequence[Pair]
) -> Array:
    """Adds up, over the positions in the window, the gradient times that position's weights.

    Each product is placed where the window saw its input. XLA:CPU's own convolution would dilate
    the gradient, and would ask the system for its work space again in every step. Sums are at
    least float32.
    """
    *window, into, features = kernel.shape
    wide = jnp.promote_types(gradient.dtype, jnp.float32)

    def input_gradient(gradients: Array) -> Array:
        products = lax.dot_general(
            gradients,
            kernel.reshape(-1, features),
            (((3,), (1,)), ((), ())),
            preferred_element_type=wide,
        ).reshape(*gradients.shape[:3], *window, into)
        total = jnp.zeros((), wide)
        for position in np.ndindex(*window):
            total += placed(products[:, :, :, *position], position, sizes, strides, pads)
        return total.astype(gradient.dtype)

    return map_chunks(input_gradient, gradient, FILMS_IN_CACHE)


def placed(
    values: Array, position: Sequence[int], sizes: Pair, strides: Pair, pads: Sequence[Pair]
) -> Array:
    """Places the value of each window at that window's `position` in the film, and 0 elsewhere.

    values (batch, h', w', channels) hold one for each window; the result is
    (batch, *sizes, channels).
    """
    edges = [
        (at - before, size + before - at - (seen - 1) * stride - 1, stride - 1)
        for at, (before, _), size, seen, stride in zip(
            position, pads, sizes, values.shape[1:3], strides, strict=True
        )
    ]
    return lax.pad(values, np.zeros((), values.dtype), [(0, 0, 0), *edges, (0, 0, 0)])


def _kernel_gradient(x: Array, gradient: Array, window: Pair, strides: Pair, padding: str) -> Array:
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    kernel = jax.ShapeDtypeStruct((*window, x.shape[-1], gradient.shape[-1]), x.dtype)
    if strides == (1, 1) and winograd.pays(x, kernel, pads):
        return winograd.kernel_gradient(x, gradient, window, pads)
    return _kernel_gradient_by_products(x, gradient, window, strides, pads)


def _kernel_gradient_by_products(
    x: Array, gradient: Array, window: Pair, strides: Pair, pads: Sequence[Pair]
) -> Array:
    """Multiplies, for each position in the window, the inputs seen from it by the gradient.

    Sums are at least float32. A 1x1 window takes all films at once, since it needs no shifted
    copies of them; other windows take a few at a time.
    """
    (height, width), features = gradient.shape[1:3], gradient.shape[-1]
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def kernel_gradient(films: Array, gradients: Array) -> Array:
        films = jnp.pad(films, ((0, 0), *pads, (0, 0)))
        gradients = gradients.reshape(-1, features)
        products = [
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
        return jnp.stack(products).reshape(*window, x.shape[-1], features)

    at_once = len(x) if window == (1, 1) else FILMS_IN_CACHE
    total = sum_chunks(kernel_gradient, (x, gradient), at_once)
    return total.astype(x.dtype)


@jax.jit  # traced once for each shape, as above
def relu(x: Array) -> Array:
    """max(x, 0), with gradient 0 at 0."""
    return jax.nn.relu(x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": relu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
}
