"""Grey levels of films as a network takes them: stored with it, the same wherever it is used."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from pneumojax.errors import UserError


def standardised(images: Array) -> Array:
    """Each film (h, w, c) of a batch with mean 0 and standard deviation 1; an even one is 0."""
    centred = images - jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    # One grey level in 1,000 below the root: an even film is not blown up to noise.
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=(1, 2, 3), keepdims=True) + 1e-6)


def as_input(images: Array, normalise: str, channels: int, dtype: DTypeLike) -> Array:
    """Images (batch, h, w, 1 or channels) in [0, 1] -> (batch, h, w, channels) of `dtype`.

    Args:
        normalise: a name in `NORMALISATIONS`.
        channels: a grey film is repeated to fill them.
    """
    wide = images.astype(jnp.promote_types(images.dtype, dtype))
    x = NORMALISATIONS[normalise](wide).astype(dtype)
    return jnp.broadcast_to(x, (*x.shape[:-1], channels))


# As they come; each film to mean 0 and standard deviation 1; to [-1, 1], which Keras's and
# torchvision's Inception-v3 were trained on.
NORMALISATIONS: dict[str, Callable[[Array], Array]] = {
    "unit": lambda images: images,
    "film": standardised,
    "symmetric": lambda images: 2 * images - 1,
}


def check_normalise(name: str) -> str:
    """The name, if it is one of `NORMALISATIONS`; raises UserError otherwise."""
    if name not in NORMALISATIONS:
        raise UserError(
            f"config.data.normalise is {name!r}: use one of {', '.join(NORMALISATIONS)}."
        )
    return name
