"""Test-time augmentation: averages the logits of a film with those of other views of it."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

_ZOOM = 0.9  # fraction of each side that the closer view shows


def _flip(images: Array) -> Array:
    """Mirrors films. The heart changes sides, so the network must be trained on mirrored films."""
    return images[:, :, ::-1]


def _zoom(images: Array) -> Array:
    """Enlarges the middle of each film to the size of the film."""
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
    """Averages the `logits` (batch,) of images (batch, h, w, 1) with those of the named views."""
    for name in names:
        logits += logits_of(VIEWS[name](images))
    return logits / (1 + len(names))
