"""Random changes of training films on the device.

They are a function of seed, epoch and film, so they do not depend on batches or on devices.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pneumojax.augment import appearance, geometry

Augment = Callable[[Array, Array], Array]


def film_keys(seed: int, epoch: Array, film: Array) -> Array:
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
        if size != image_size or not geometry.is_off(settings):
            image = geometry.moved(image, jax.random.fold_in(key, 0), size, settings)
        for i, change in enumerate(changes, start=1):
            image = change(image, jax.random.fold_in(key, i))
        return jnp.clip(image, 0, 1)[..., None] if changes else image[..., None]

    def augment(images: Array, keys: Array) -> Array:
        if size == image_size and geometry.is_off(settings) and not changes:
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
