"""Random crop, rotation, shift and mirror image as one affine map per film.

One map means one interpolation, which blurs less than one for each change.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def is_off(settings: Mapping[str, Any]) -> bool:
    """Whether no change of the geometry is on."""
    return (
        tuple(settings["crop_area"]) == (1, 1)
        and tuple(settings["crop_aspect"]) == (1, 1)
        and not (settings["rotation"] or settings["shift"] or settings["flip"])
    )


def moved(image: Array, key: Array, size: int, settings: Mapping[str, Any]) -> Array:
    """Maps a film (h, w) to (size, size) by a random crop, rotation, shift and mirror image.

    Pixels outside of the film repeat its edge. Black pixels would show which films were moved, and
    many films have a bright edge.
    """
    keys = jax.random.split(key, 7)
    height, width = image.shape
    uniform = jax.random.uniform
    area = uniform(keys[0], minval=settings["crop_area"][0], maxval=settings["crop_area"][1])
    low, high = (jnp.log(bound) for bound in settings["crop_aspect"])
    stretch = jnp.exp(uniform(keys[1], minval=low, maxval=high) / 2)
    # A crop that is longer than the film is cut to the film.
    tall = jnp.minimum(jnp.sqrt(area) / stretch, 1)
    wide = jnp.minimum(jnp.sqrt(area) * stretch, 1)
    middle = jnp.stack([tall, wide]) / 2
    centre = middle + uniform(keys[2], (2,)) * (1 - 2 * middle)
    centre += settings["shift"] * uniform(keys[3], (2,), minval=-1, maxval=1)
    angle = jnp.deg2rad(settings["rotation"]) * uniform(keys[4], minval=-1, maxval=1)
    mirror = jnp.where(uniform(keys[5]) < settings["flip"], -1.0, 1.0)
    # The map goes from pixels of the result to coordinates of the film.
    offsets = (jnp.arange(size) + 0.5) / size - 0.5
    down = (tall * height * offsets)[:, None]
    right = (mirror * wide * width * offsets)[None, :]
    rows = centre[0] * height - 0.5 + jnp.cos(angle) * down - jnp.sin(angle) * right
    columns = centre[1] * width - 0.5 + jnp.sin(angle) * down + jnp.cos(angle) * right
    return jax.scipy.ndimage.map_coordinates(image, [rows, columns], order=1, mode="nearest")
