"""Grad-CAM: where on a film the last feature maps hold evidence for pneumonia.

Source: Selvaraju et al., Proc. ICCV 2017, 618. A map shows which places raise the network's logit.
It does not show disease, and it does not say that the network is right or that the call would
change if a place were covered. A film that is called normal has a map of the evidence for pneumonia
as well.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from pneumojax.inference.forward import Forward, over_microbatches, to_unit_range
from pneumojax.inference.network import Network, predicting_logits, summed_logits, views_of


def make_explainer(network: Network, mesh: Mesh) -> Forward:
    """Makes `(params, uint8 images (batch, h, w, 1)) -> (logits (batch,), maps (batch, h, w))`.

    Each channel of the last feature maps is weighted by the mean gradient of the main head's logit.
    Negative values of the weighted sum become 0, and the sum is divided by its largest value and
    enlarged bilinearly. Maps are float32 in [0, 1] and 1 where the evidence on that film is
    strongest, so the maps of two films cannot be compared in strength. A map is 0 everywhere if
    nothing on the film is evidence for pneumonia. If the network has several last feature maps,
    their sums are enlarged and added before that division. Only the heads are differentiated, so a
    map costs little more than a forward pass.

    The network must have `explains`, and the number of devices must divide the batch.
    """

    def explain(params: dict, images: Array) -> tuple[Array, Array]:
        with network.in_precision():
            return explained(params, images)

    def explained(params: dict, images: Array) -> tuple[Array, Array]:
        module = network.module(params)
        features = module.features(to_unit_range(images))

        def total(features: Any) -> tuple[Array, Array]:
            logits = predicting_logits(module.logits(features))
            return logits.sum(), logits  # films are independent: each gradient is its own

        gradients, logits = jax.grad(total, has_aux=True)(features)
        each = jax.tree.leaves(jax.tree.map(_evidence, features, gradients))
        side = images.shape[:3]
        evidence = each[0]
        if len(each) > 1:  # several maps must have one size before they are added
            evidence = jnp.stack([_enlarged(one, side) for one in each]).sum(0)
        largest = evidence.max((1, 2), keepdims=True)
        evidence = jnp.where(largest > 0, evidence / jnp.where(largest > 0, largest, 1), 0)
        if network.views:  # the map is that of the film itself
            seen = views_of(to_unit_range(images), network.views)
            logits += summed_logits(
                lambda view: predicting_logits(network.logits(params, view)), seen
            )
            logits /= 1 + len(seen)
        return logits, _enlarged(evidence, side)

    return over_microbatches(explain, mesh)


def _evidence(features: Array, gradient: Array) -> Array:
    """Last feature maps (batch, h, w, c) and their gradient -> evidence (batch, h, w), from 0."""
    weights = gradient.astype(jnp.float32).mean((1, 2), keepdims=True)
    return jnp.maximum((weights * features.astype(jnp.float32)).sum(-1), 0)


def _enlarged(evidence: Array, shape: tuple[int, ...]) -> Array:
    return jax.image.resize(evidence, shape, "linear")
