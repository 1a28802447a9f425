"""The layers that blocks consist of: convolution unit, pools and dropout, and a network's input.

Parameters are float32; `dtype` is the type that a layer computes in. Kernel layout and initial
values are those of Keras (`(rows, columns, in, out)`, Glorot uniform, zero bias), so weights move
between the two without a transpose.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax
from jax.typing import DTypeLike

from pneumojax.nn import ops, pools
from pneumojax.nn.batch_norm import BatchNorm, normalise_together

_glorot_uniform = nnx.initializers.glorot_uniform()
_draws: ContextVar[bool] = ContextVar("draws", default=True)


@contextmanager
def without_initial_values() -> Iterator[None]:
    """A block in which kernels are zeros, for callers that need their shapes alone.

    Tracing the random numbers of a network takes as long as building the rest of it.
    """
    token = _draws.set(False)
    try:
        yield
    finally:
        _draws.reset(token)


def kernel_init(key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
    """The initial kernel: Glorot uniform, or zeros in a block `without_initial_values`."""
    if not _draws.get():
        return jnp.zeros(shape, dtype)
    return _glorot_uniform(key, shape, dtype)


def check_known(argument: str, value: str, known: Collection[str]) -> None:
    """Raises ValueError, which begins with the argument's name, unless `value` is known."""
    if value not in known:
        raise ValueError(f"{argument} is {value!r}: use one of {', '.join(known)}")


class Conv(nnx.Module):
    """Convolution, then bias or batch norm, then activation.

    Args:
        activation: a name in `ops.ACTIVATIONS`.
        norm: "none", or "batch" for batch norm, whose shift replaces the bias.
        scale: whether batch norm learns a scale. Between a ReLU and a convolution it is redundant.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        window: ops.Pair,
        *,
        stride: int = 1,
        padding: str = "SAME",
        norm: str = "none",
        scale: bool = True,
        activation: str = "relu",
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(kernel_init(rngs.params(), (*window, in_features, out_features)))
        if norm == "batch":
            self.norm = BatchNorm(out_features, scale=scale, rngs=rngs)
        else:
            self.bias = nnx.Param(jnp.zeros(out_features))
        self.strides = (stride, stride)
        self.padding = padding
        self.activation = activation
        self.dtype = dtype
        self.out_features = out_features

    def __call__(self, x: Array) -> Array:
        return activate([self], convolve([self], x))


def convolve(convs: Sequence[Conv], x: Array) -> Array:
    """Convolves `x` with the kernels of several layers at once: their results side by side.

    The layers must agree in window, stride, padding and dtype.
    """
    first = convs[0]
    kernel = jnp.concatenate([conv.kernel[...] for conv in convs], axis=-1).astype(first.dtype)
    return ops.convolution(x, kernel, first.strides, first.padding)


def activate(convs: Sequence[Conv], x: Array) -> Array:
    """Applies the layers' bias or norm and their activation to convolutions that lie side by side.

    The layers must agree in norm, activation and dtype.
    """
    first = convs[0]
    # In float32: the gradient of a bias is a sum over all positions, too many for bfloat16.
    if hasattr(first, "norm"):
        x = normalise_together([conv.norm for conv in convs], x)
    else:
        x = x + jnp.concatenate([conv.bias[...] for conv in convs])
    return ops.ACTIVATIONS[first.activation](x.astype(first.dtype))


def split_channels(convs: Sequence[Conv], x: Array) -> list[Array]:
    """Splits results that lie side by side into one array for each layer."""
    if len(convs) == 1:
        return [x]
    return list(lax.split(x, [conv.out_features for conv in convs], axis=-1))


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each window, see `pools.max_pool`."""

    window: ops.Pair = (3, 3)
    strides: ops.Pair = (2, 2)
    padding: str = "VALID"

    def __call__(self, x: Array) -> Array:
        return pools.max_pool(x, self.window, self.strides, self.padding)


@dataclass(frozen=True)
class AveragePool:
    """The mean of each 3x3 window at stride 1, which keeps height and width."""

    count_padding: bool = False  # zeros outside of the film count, as in torchvision

    def __call__(self, x: Array) -> Array:
        return pools.average_pool(x, (3, 3), (1, 1), "SAME", self.count_padding)


def dropout(x: Array, rate: float, keys: Array | None) -> Array:
    """Zeroes random units of x (batch, units) and scales up the others; the identity without keys.

    `keys` (batch,) holds one for each film, so that its mask does not depend on its neighbours.
    """
    if keys is None or rate == 0:
        return x
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(kept, x / (1 - rate), 0)


def standardised(images: Array) -> Array:
    """Scales each film (h, w, c) of a batch to mean 0 and standard deviation 1."""
    centred = images - jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    # 1e-6 is the square of a thousandth of the grey range: a blank film becomes 0 and not noise.
    return centred * lax.rsqrt(jnp.mean(centred**2, axis=(1, 2, 3), keepdims=True) + 1e-6)


# "symmetric" scales to [-1, 1], on which Keras's and torchvision's Inception-v3 were trained.
NORMALISATIONS: dict[str, Callable[[Array], Array]] = {
    "unit": lambda images: images,
    "film": standardised,
    "symmetric": lambda images: 2 * images - 1,
}


def network_input(images: Array, normalise: str, channels: int, dtype: DTypeLike) -> Array:
    """Images (batch, h, w, 1 or channels) in [0, 1] -> (batch, h, w, channels) of `dtype`.

    `normalise` is a name in `NORMALISATIONS`. A grey film is repeated to fill the channels.
    """
    wide = images.astype(jnp.promote_types(images.dtype, dtype))
    x = NORMALISATIONS[normalise](wide).astype(dtype)
    return jnp.broadcast_to(x, (*x.shape[:-1], channels))
