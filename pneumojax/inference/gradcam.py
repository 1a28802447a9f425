"""Grad-CAM: where on a film the last Inception module found evidence for pneumonia.

Source: Selvaraju et al., Proc. ICCV 2017, 618. A map says which places raise the logit as the
network is; not that there is disease, nor that the network is right, nor that covering the place
would change the call. A map of a film called normal shows what speaks for pneumonia all the same.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec

from pneumojax.inference.forward import microbatch_size, to_unit_range
from pneumojax.inference.network import Network, main_logits
from pneumojax.inference.test_time_views import averaged

Explainer = Callable[[dict, Array], tuple[Array, Array]]


def make_explainer(network: Network, mesh: Mesh) -> Explainer:
    """A pure `(params, uint8 images (batch, h, w, 1)) -> (logits (batch,), maps (batch, h, w))`.

    Jit it. Each channel of the feature maps is weighted by the mean gradient of the predicting
    head's logit; the weighted sum is cut off below 0, divided by its own largest value and
    enlarged to the film bilinearly. So maps are float32 in [0, 1], 1 where the evidence on that
    film is strongest: two films' maps cannot be compared in strength. Where nothing speaks for
    pneumonia the map is 0 everywhere. Only the heads are differentiated, so it costs little more
    than a forward pass. The batch must be a multiple of the mesh's devices.
    """
    axis = mesh.axis_names[0]

    def explain_few(params: dict, images: Array) -> tuple[Array, Array]:
        module = network.module(params)
        features = module.features(to_unit_range(images))

        def total(features: Array) -> tuple[Array, Array]:
            logits = main_logits(module.logits(features))
            return logits.sum(), logits  # films are independent: each gradient is its own

        gradient, logits = jax.grad(total, has_aux=True)(features)
        weights = gradient.astype(jnp.float32).mean((1, 2), keepdims=True)
        evidence = jnp.maximum((weights * features.astype(jnp.float32)).sum(-1), 0)
        largest = evidence.max((1, 2), keepdims=True)
        evidence = jnp.where(largest > 0, evidence / jnp.where(largest > 0, largest, 1), 0)
        logits = averaged(
            logits,
            lambda view: main_logits(network.logits(params, view)),
            to_unit_range(images),
            network.views,
        )
        return logits, jax.image.resize(evidence, images.shape[:3], "linear")

    def explain(params: dict, images: Array) -> tuple[Array, Array]:
        at_once = microbatch_size(len(images), mesh)
        parts = images.reshape(-1, at_once, *images.shape[1:])
        logits, maps = lax.map(lambda part: explain_few(params, part), parts)
        return logits.reshape(-1), maps.reshape(images.shape[:3])

    return jax.shard_map(
        explain,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(axis)),
        out_specs=PartitionSpec(axis),
        check_vma=False,
    )
