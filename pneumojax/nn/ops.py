"""Convolution and pooling, the primitives that every network here is made of.

All images are NHWC, `(batch, height, width, channels)`; padding is "SAME" or "VALID". No block
calls `jax.lax` for these itself. On accelerators they are the vendor's; on a CPU, where XLA's
filter gradients run at a tenth of a matrix product's speed and its pool gradients scatter, the
same functions are computed as matrix products and shifted slices. The platform is chosen when a
function is lowered, so one program text serves all.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

Pair = tuple[int, int]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolution(x: Array, kernel: Array, strides: Pair = (1, 1), padding: str = "SAME") -> Array:
    """`x` (batch, h, w, in) by `kernel` (rows, columns, in, out) -> (batch, h', w', out)."""
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _convolution_forward(
    x: Array, kernel: Array, strides: Pair, padding: str
) -> tuple[Array, tuple[Array, Array]]:
    return convolution(x, kernel, strides, padding), (x, kernel)


def _convolution_backward(
    strides: Pair, padding: str, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    rows, columns, *_ = kernel.shape
    plain = partial(convolution.fun, strides=strides, padding=padding)
    (x_gradient,) = jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)
    kernel_gradient = lax.platform_dependent(
        x,
        gradient,
        cpu=partial(
            _kernel_gradient_by_products, window=(rows, columns), strides=strides, padding=padding
        ),
        default=lambda x, gradient: jax.vjp(lambda k: plain(x, k), kernel)[1](gradient)[0],
    )
    return x_gradient, kernel_gradient


convolution.defvjp(_convolution_forward, _convolution_backward)


def _kernel_gradient_by_products(
    x: Array, gradient: Array, window: Pair, strides: Pair, padding: str
) -> Array:
    """Filter gradient, one film at a time: its shifted views times the output's gradient.

    One film's views fit the cache; all films' at once would only move memory. The sum is taken
    in at least float32.
    """
    (rows, columns), (height, width) = window, gradient.shape[1:3]
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def add_film(total: Array, film: tuple[Array, Array]) -> tuple[Array, None]:
        pixels, film_gradient = film
        pixels = jnp.pad(pixels, (*pads, (0, 0)))
        views = [
            pixels[i : i + (height - 1) * strides[0] + 1 : strides[0]][
                :, j : j + (width - 1) * strides[1] + 1 : strides[1]
            ]
            for i in range(rows)
            for j in range(columns)
        ]
        product = lax.dot_general(
            jnp.concatenate(views, axis=-1).reshape(height * width, -1),
            film_gradient.reshape(height * width, -1),
            (((0,), (0,)), ((), ())),
            preferred_element_type=wide,
        )
        return total + product, None

    shape = (rows * columns * x.shape[-1], gradient.shape[-1])
    total, _ = lax.scan(add_film, jnp.zeros(shape, wide), (x, gradient))
    return total.reshape(rows, columns, x.shape[-1], -1).astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool(x: Array, window: Pair, strides: Pair, padding: str = "VALID") -> Array:
    """Largest value of each window; padding never wins.

    Where values tie, the whole gradient goes to one of them: on a CPU to the first row of the
    first column that has it, on accelerators to the first in row-major order.
    """
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), padding.upper()
    )


def _max_pool_forward(x: Array, window: Pair, strides: Pair, padding: str) -> tuple[Array, Array]:
    return max_pool(x, window, strides, padding), x


def _max_pool_backward(
    window: Pair, strides: Pair, padding: str, x: Array, gradient: Array
) -> tuple[Array]:
    def through(pool: Callable[[Array, Pair, Pair, str], Array]) -> Callable[..., Array]:
        return lambda x, g: jax.vjp(lambda x: pool(x, window, strides, padding), x)[1](g)[0]

    by_platform = {"cpu": through(_max_by_slices), "default": through(max_pool.fun)}
    return (lax.platform_dependent(x, gradient, **by_platform),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _max_by_slices(x: Array, window: Pair, strides: Pair, padding: str) -> Array:
    """Max pool as the larger of shifted slices, rows first; the earlier slice wins a tie."""
    pads = lax.padtype_to_pads(x.shape[1:3], window, strides, padding)
    for axis in (1, 2):
        before, after = pads[axis - 1]
        config = [(0, 0, 0)] * 4
        config[axis] = (before, after, 0)
        x = lax.pad(x, jnp.array(-jnp.inf, x.dtype), config)
        size, stride = window[axis - 1], strides[axis - 1]
        last = (x.shape[axis] - size) // stride * stride
        slices = [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]
        x = slices[0]
        for other in slices[1:]:
            x = jnp.where(x >= other, x, other)
    return x


def average_pool(x: Array, window: Pair, strides: Pair) -> Array:
    """Mean of each whole window (valid padding)."""
    total = x
    for axis, size, stride in zip((1, 2), window, strides, strict=True):
        last = (total.shape[axis] - size) // stride * stride
        slices = [lax.slice_in_dim(total, i, i + last + 1, stride, axis) for i in range(size)]
        total = sum(slices[1:], start=slices[0])
    return total / (window[0] * window[1])


def relu(x: Array) -> Array:
    """max(x, 0), with gradient 0 at 0."""
    return jax.nn.relu(x)
