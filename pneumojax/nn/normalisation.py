"""Normalisation of grey levels, which is part of a network and so the same wherever it is used."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def standardised(images: Array) -> Array:
    """Scales each film (h, w, c) of a batch to mean 0 and standard deviation 1."""
    centred = images - jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    # 1e-6 is the square of a thousandth of the grey range: a blank film becomes 0 and not noise.
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=(1, 2, 3), keepdims=True) + 1e-6)


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
