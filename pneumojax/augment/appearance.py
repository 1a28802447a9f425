"""Changes of grey levels, sharpness, noise, compression and erasing; no pixel moves."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Change = Callable[[Array, Array], Array]  # film (size, size) in [0, 1], key -> film

# JPEG's luminance quantisation at quality 50 (ITU-T T.81, table K.1).
_QUANTISATION = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)


def changes(settings: Mapping[str, Any]) -> list[Change]:
    """The changes that `config.augment` turns on, in the order in which they are applied."""
    always = {"gamma": _gamma, "contrast": _contrast, "brightness": _brightness}
    sometimes = {
        "blur": _blur,
        "downscale": _downscale,
        "sharpen": _sharpen,
        "noise": _noise,
        "jpeg": _jpeg,
    }
    chosen: list[Change] = []
    for name, change in (always | sometimes).items():
        strength = settings[name]
        if strength != (1 if name == "downscale" else 0):
            some: Change = partial(change, strength=strength)
            if name in sometimes:
                some = partial(_perhaps, some, settings["probability"])
            chosen.append(some)
    if probability := settings["erase"]:
        chosen.append(partial(_erase, probability=probability))
    return chosen


def _perhaps(change: Change, probability: float, x: Array, key: Array) -> Array:
    choose, draw = jax.random.split(key)
    return jnp.where(jax.random.uniform(choose) < probability, change(x, draw), x)


def _factor(key: Array, strength: float) -> Array:
    bound = jnp.log1p(strength)
    return jnp.exp(jax.random.uniform(key, minval=-bound, maxval=bound))


def _gamma(x: Array, key: Array, strength: float) -> Array:
    return jnp.clip(x, 1e-4, 1) ** _factor(key, strength)


def _contrast(x: Array, key: Array, strength: float) -> Array:
    mean = jnp.mean(x)
    return jnp.clip(mean + (x - mean) * _factor(key, strength), 0, 1)


def _brightness(x: Array, key: Array, strength: float) -> Array:
    return jnp.clip(x + strength * jax.random.uniform(key, minval=-1, maxval=1), 0, 1)


def _gaussian(size: int, sigma: Array | float) -> Array:
    """Blurring matrix (size, size). Each row sums to 1, so the edges do not get darker."""
    distance = jnp.arange(size)[:, None] - jnp.arange(size)[None, :]
    weights = jnp.exp(-0.5 * (distance / jnp.maximum(sigma, 1e-2)) ** 2)
    return weights / weights.sum(1, keepdims=True)


def _blurred(x: Array, sigma: Array | float) -> Array:
    matrix = _gaussian(x.shape[0], sigma)
    return matrix @ x @ matrix.T


def _blur(x: Array, key: Array, strength: float) -> Array:
    return _blurred(x, strength * jax.random.uniform(key))


def _sharpen(x: Array, key: Array, strength: float) -> Array:
    return jnp.clip(x + strength * jax.random.uniform(key) * (x - _blurred(x, 1.0)), 0, 1)


def _noise(x: Array, key: Array, strength: float) -> Array:
    amount, draw = jax.random.split(key)
    return x + strength * jax.random.uniform(amount) * jax.random.normal(draw, x.shape)


def _downscale(x: Array, key: Array, strength: float) -> Array:
    """Shrinks the film by averaging over boxes, then enlarges it by linear interpolation."""
    size = x.shape[0]
    width = 1 / jax.random.uniform(key, minval=strength, maxval=1.0)
    place = jnp.arange(size) + 0.5
    small = place / width  # the same places in pixels of the smaller film
    # To keep shapes static, the smaller film has as many rows as the larger one. The rows that it
    # does not need have their centres outside the film.
    centres = (jnp.arange(size) + 0.5) * width
    inside = jnp.maximum(
        0, jnp.minimum(1, (width + 1) / 2 - jnp.abs(place[None] - centres[:, None]))
    )
    down = inside / jnp.maximum(inside.sum(1, keepdims=True), 1e-6)
    last = jnp.ceil(size / width) - 1
    up = jnp.maximum(
        0, 1 - jnp.abs(jnp.clip(small[:, None] - 0.5, 0, last) - jnp.arange(size)[None])
    )
    matrix = up @ down
    return matrix @ x @ matrix.T


def _jpeg(x: Array, key: Array, strength: float) -> Array:
    """Quantises the cosines of 8x8 blocks as JPEG does; strength 1 goes down to quality 10."""
    size = x.shape[0]
    whole = -(-size // 8) * 8
    x = jnp.pad(x, (0, whole - size), mode="edge") * 255 - 128
    basis = np.array(
        [
            [
                np.sqrt((1 if k == 0 else 2) / 8) * np.cos((n + 0.5) * k * np.pi / 8)
                for n in range(8)
            ]
            for k in range(8)
        ],
        np.float32,
    )
    blocks = x.reshape(whole // 8, 8, whole // 8, 8)
    table = jnp.maximum(_QUANTISATION * 5 * strength * jax.random.uniform(key), 1)
    cosines = jnp.einsum("ka,iajb,lb->ijkl", basis, blocks, basis)
    cosines = jnp.round(cosines / table) * table
    blocks = jnp.einsum("ka,ijkl,lb->iajb", basis, cosines, basis)
    return ((blocks.reshape(whole, whole) + 128) / 255)[:size, :size]


def _erase(x: Array, key: Array, probability: float) -> Array:
    """Random erasing (Zhong et al. 2020, arXiv 1708.04896) with the mean grey of the film."""
    keys = jax.random.split(key, 4)
    area = jax.random.uniform(keys[0], minval=0.02, maxval=0.2)
    stretch = jnp.exp(jax.random.uniform(keys[1], minval=-1.2, maxval=1.2) / 2)
    half = jnp.sqrt(area) * jnp.stack([1 / stretch, stretch]) / 2
    centre = jax.random.uniform(keys[2], (2,))
    place = (jnp.arange(x.shape[0]) + 0.5) / x.shape[0]
    rows, columns = (jnp.abs(place - centre[i]) < half[i] for i in (0, 1))
    erased = rows[:, None] & columns[None, :] & (jax.random.uniform(keys[3]) < probability)
    return jnp.where(erased, jnp.mean(x), x)
