"""Convolution and activation, with `pools` the primitives that every network here is made of.

All images are NHWC, `(batch, height, width, channels)`; padding is "SAME" or "VALID". No block
calls `jax.lax` for these itself. On accelerators they are the vendor's; on a CPU, where XLA's
filter gradients run at a tenth of a matrix product's speed, the same functions are computed as
matrix products, and where it pays by Winograd's fewer products. The platform is chosen when a
function is lowered, so one program text serves all. docs/performance.md has the figures.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pneumojax.nn import chunked as films_at_once
from pneumojax.nn import winograd

Pair = tuple[int, int]
# Of this many films what a layer reads and writes stays in a CPU's caches.
FILMS_IN_CACHE = 4
# Channels, from which on a 1x1 convolution is quicker on a CPU as a plain matrix product.
WIDE = 512


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolution(x: Array, kernel: Array, strides: Pair = (1, 1), padding: str = "SAME") -> Array:
    """`x` (batch, h, w, in) by `kernel` (rows, columns, in, out) -> (batch, h', w', out)."""
    return _convolved(x, kernel, strides, padding)


# Jitted, here and below, so that layers of one shape are traced once.
@partial(jax.jit, static_argnums=(2, 3))
def _convolved(x: Array, kernel: Array, strides: Pair, padding: str) -> Array:
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
    return _convolved(x, kernel, strides, padding), (x, kernel)


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
        default=lambda x, k, g: jax.linear_transpose(lambda x: plain(x, k), x)(g)[0],
    )
    kernel_gradient = lax.platform_dependent(
        x,
        gradient,
        cpu=partial(_kernel_gradient, window=window, strides=strides, padding=padding),
        default=lambda x, g: jax.linear_transpose(lambda k: plain(x, k), kernel)(g)[0],
    )
    return x_gradient, kernel_gradient


convolution.defvjp(_convolution_forward, _convolution_backward)


def _input_gradient(x: Array, kernel: Array, gradient: Array, strides: Pair, padding: str) -> Array:
    """Convolution of the output's gradient with the turned kernel; with strides, by products.

    The turn is written out: where XLA:CPU is left to read the kernel backwards, it may fall back
    to a loop that is ten times slower.
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
    return _convolution(gradient, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), strides, pads)


def _input_gradient_by_products(
    kernel: Array, gradient: Array, sizes: Pair, strides: Pair, pads: Sequence[Pair]
) -> Array:
    """The same for each place in the window: gradient times weights, put where it was seen from.

    In XLA:CPU's convolution of a gradient spread over the film each step would take its work space
    from the system anew. Sums are at least float32.
    """
    *window, into, features = kernel.shape
    wide = jnp.promote_types(gradient.dtype, jnp.float32)

    def of_a_few(gradients: Array) -> Array:
        products = lax.dot_general(
            gradients,
            kernel.reshape(-1, features),
            (((3,), (1,)), ((), ())),
            preferred_element_type=wide,
        ).reshape(*gradients.shape[:3], *window, into)
        total = jnp.zeros((), wide)
        for place in np.ndindex(*window):
            edges = [
                (at - before, size + before - at - (seen - 1) * stride - 1, stride - 1)
                for at, (before, _), size, seen, stride in zip(
                    place, pads, sizes, gradients.shape[1:3], strides, strict=True
                )
            ]
            config = [(0, 0, 0), *edges, (0, 0, 0)]
            total += lax.pad(products[:, :, :, *place], np.zeros((), wide), config)
        return total.astype(gradient.dtype)

    return films_at_once.mapped(of_a_few, gradient, FILMS_IN_CACHE)


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

    Sums are at least float32. A window of one place sees the films as they are, all at once;
    others see copies, of a few at a time.
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

    at_once = len(x) if window == (1, 1) else FILMS_IN_CACHE
    total = films_at_once.summed(product, (x, gradient), at_once)
    return total.astype(x.dtype)


@jax.jit  # for layers of one shape, as above
def relu(x: Array) -> Array:
    """max(x, 0), with gradient 0 at 0."""
    return jax.nn.relu(x)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": relu,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
}
