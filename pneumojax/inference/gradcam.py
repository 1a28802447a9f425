"""Grad-CAM: where on a film the last feature maps hold evidence for pneumonia.

Source: Selvaraju et al., Proc. ICCV 2017, 618. A map shows which places raise the network's logit.
It does not show disease, and it does not say that the network is right or that the call would
change if a place were covered. A film that is called normal has a map of the evidence for pneumonia
as well.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from pneumojax.inference.forward import Forward, over_microbatches, to_unit_range
from pneumojax.inference.network import Network, averaged, predicting_logits


def make_explainer(network: Network, mesh: Mesh) -> Forward:
    """Makes `(params, uint8 images (batch, h, w, 1)) -> (logits (batch,), maps (batch, h, w))`.

    Each channel of the last feature maps is weighted by the mean gradient of the main head's logit.
    Negative values of the weighted sum become 0, and the sum is divided by its largest value and
    enlarged bilinearly. Maps are float32 in [0, 1] and 1 where the evidence on that film is
    strongest, so the maps of two films cannot be compared in strength. A map is 0 everywhere if
    nothing on the film is evidence for pneumonia. Only the heads are differentiated, so a map costs
    little more than a forward pass.

    The network must have `explains`, and the number of devices must divide the batch.
    """

    def explain(params: dict, images: Array) -> tuple[Array, Array]:
        with network.in_precision():
            return explained(params, images)

    def explained(params: dict, images: Array) -> tuple[Array, Array]:
        module = network.module(params)
        features = module.features(to_unit_range(images))

        def total(features: Array) -> tuple[Array, Array]:
            logits = predicting_logits(module.logits(features))
            return logits.sum(), logits  # films are independent: each gradient is its own

        gradient, logits = jax.grad(total, has_aux=True)(features)
        weights = gradient.astype(jnp.float32).mean((1, 2), keepdims=True)
        evidence = jnp.maximum((weights * features.astype(jnp.float32)).sum(-1), 0)
        largest = evidence.max((1, 2), keepdims=True)
        evidence = jnp.where(largest > 0, evidence / jnp.where(largest > 0, largest, 1), 0)
        logits = averaged(
            logits,
            lambda view: predicting_logits(network.logits(params, view)),
            to_unit_range(images),
            network.views,
        )
        return logits, jax.image.resize(evidence, images.shape[:3], "linear")

    return over_microbatches(explain, mesh)
