"""Batch norm (Ioffe & Szegedy 2015, arXiv 1502.03167), flax's but for how it is traced."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax


class BatchNorm(nnx.BatchNorm):
    """`nnx.BatchNorm` over all but the last axis of images (batch, h, w, channels).

    Layers of one shape are traced once, which a start of a network of a hundred of them notices.
    The statistics of a batch take the place of the running ones, a momentum of 0.
    """

    def __call__(self, x: Array) -> Array:  # type: ignore[override]  # it has no options
        x = x.astype(self.dtype)
        if self.use_running_average:
            mean, var = self.mean[...], self.var[...]
        else:
            mean, var = _statistics(x, self.axis_name)
            self.mean[...], self.var[...] = lax.stop_gradient((mean, var))
        scale, bias = (None if part is None else part[...] for part in (self.scale, self.bias))
        return _normalised(x, mean, var, scale, bias, self.epsilon)


@partial(jax.jit, static_argnums=1)
def _statistics(x: Array, axis_name: str | None) -> tuple[Array, Array]:
    """Mean and variance of each channel, over all devices that `axis_name` names."""
    mean, square = jnp.mean(x, axis=(0, 1, 2)), jnp.mean(lax.square(x), axis=(0, 1, 2))
    if axis_name is not None:
        mean, square = lax.pmean((mean, square), axis_name)
    return mean, jnp.maximum(0.0, square - lax.square(mean))


@partial(jax.jit, static_argnums=5)
def _normalised(
    x: Array, mean: Array, var: Array, scale: Array | None, bias: Array | None, epsilon: float
) -> Array:
    factor = lax.rsqrt(var + epsilon)
    if scale is not None:
        factor *= scale
    y = (x - mean) * factor
    return y if bias is None else y + bias
