"""Random changes of training films on the device: of their geometry, and those of `appearance`.

They are a function of seed, epoch and film, so they do not depend on batches or on devices.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pneumojax.augment import appearance

Augment = Callable[[Array, Array], Array]


def film_keys(seed: Array | int, epoch: Array, film: Array) -> Array:
    """The random keys (b,) of an epoch for the films with these indices (b,)."""
    of_epoch = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), epoch)
    return jax.vmap(lambda film: jax.random.fold_in(of_epoch, film))(film)


def make_augment(settings: Mapping[str, Any], image_size: int) -> Augment:
    """`(images (b, h, w, 1) in [0, 1], keys (b,)) -> images (b, size, size, 1) in [0, 1]`.

    The settings are `config.augment`; a change that is off adds no operation. A size of 0 stands
    for `image_size`.
    """
    size = settings["size"] or image_size
    changes = appearance.changes(settings)

    def one(image: Array, key: Array) -> Array:
        image = image[..., 0]
        if size != image_size or not _moves_nothing(settings):
            image = _moved(image, jax.random.fold_in(key, 0), size, settings)
        for i, change in enumerate(changes, start=1):
            image = change(image, jax.random.fold_in(key, i))
        return jnp.clip(image, 0, 1)[..., None] if changes else image[..., None]

    def augment(images: Array, keys: Array) -> Array:
        if size == image_size and _moves_nothing(settings) and not changes:
            return images
        return jax.vmap(one)(images, keys)

    return augment


def mixup(
    images: Array,
    labels: Array,
    partners: Array,
    partner_labels: Array,
    keys: Array,
    alpha: float,
) -> tuple[Array, Array]:
    """Mixup (Zhang et al. 2018, arXiv 1710.09412) of images (b, h, w, 1) and float32 labels (b,).

    The partner's share is drawn from Beta(alpha, alpha) by the film's key, and mirrored to at most
    one half, so that each film keeps the larger share. Labels get the same shares.
    """
    beta = jax.vmap(lambda key: jax.random.beta(jax.random.fold_in(key, 1_000), alpha, alpha))
    share = beta(keys)
    share = jnp.minimum(share, 1 - share)
    of_image = share[:, None, None, None]
    images = images * (1 - of_image) + partners * of_image
    return images, labels * (1 - share) + partner_labels * share


def _moves_nothing(settings: Mapping[str, Any]) -> bool:
    """Whether the settings leave every pixel in its place."""
    return (
        tuple(settings["crop_area"]) == (1, 1)
        and tuple(settings["crop_aspect"]) == (1, 1)
        and not (settings["rotation"] or settings["shift"] or settings["flip"])
    )


def _moved(image: Array, key: Array, size: int, settings: Mapping[str, Any]) -> Array:
    """Maps a film (h, w) to (size, size) by a random crop, rotation, shift and mirror image.

    All of them are one affine map, so that the film is interpolated, and thereby blurred, once.
    Pixels outside of the film repeat its edge. Many films have a bright edge, and black pixels next
    to it would show the network which films were moved.
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
