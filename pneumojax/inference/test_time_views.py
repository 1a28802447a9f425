"""Test-time augmentation: further views of a film, their logits averaged with the film's own."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

_ZOOM = 0.9  # share of the side that the closer view shows


def _flip(images: Array) -> Array:
    """Left and right exchanged, which no child's heart is: only for a network trained with it."""
    return images[:, :, ::-1]


def _zoom(images: Array) -> Array:
    """The middle of each film, as large as the film."""
    batch, height, width, channels = images.shape
    scale = jnp.full(2, 1 / _ZOOM)
    shift = jnp.array([height, width]) * (1 - 1 / _ZOOM) / 2
    return jax.image.scale_and_translate(
        images, (batch, height, width, channels), (1, 2), scale, shift, "linear", antialias=False
    )


VIEWS: dict[str, Callable[[Array], Array]] = {"flip": _flip, "zoom": _zoom}


def averaged(
    logits: Array, logits_of: Callable[[Array], Array], images: Array, names: Sequence[str]
) -> Array:
    """Mean of the `logits` (batch,) of images (batch, h, w, 1) and of those of their views."""
    for name in names:
        logits += logits_of(VIEWS[name](images))
    return logits / (1 + len(names))
