"""The function that an export holds: decoded films in, probabilities and logits out."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pneumojax.inference.ensemble import LARGEST_LOGIT
from pneumojax.inference.forward import to_unit_range
from pneumojax.inference.predictor import Predictor
from pneumojax.nn.ops import plain_operations

INPUT = "films"
OUTPUTS = ("probability", "logit")
# uint8 films (batch, side, side) -> probabilities (batch,) and logits (batch,), float32.
Answer = Callable[[Array], tuple[Array, Array]]


def make_answer(predictor: Predictor) -> Answer:
    """A pure function with the parameters, normalisation, test-time views and calibration inside.

    Probabilities are calibrated, logits are not. Several networks answer with the mean of their
    probabilities and its logit.
    """
    members = [
        (member.network, jax.device_get(member.params), decision.temperature)
        for member, decision in zip(predictor.members, predictor.decisions, strict=True)
    ]

    def answer(films: Array) -> tuple[Array, Array]:
        images = to_unit_range(films[..., None])
        with plain_operations(True):
            logits = [network.evaluation_logits(params, images) for network, params, _ in members]
        probabilities = [
            jax.nn.sigmoid(logit / temperature)
            for logit, (_, _, temperature) in zip(logits, members, strict=True)
        ]
        if len(members) == 1:
            return probabilities[0], logits[0]
        mean = jnp.mean(jnp.stack(probabilities), axis=0)
        return mean, jnp.clip(jnp.log(mean) - jnp.log1p(-mean), -LARGEST_LOGIT, LARGEST_LOGIT)

    return answer


def films_of_any_number(side: int) -> jax.ShapeDtypeStruct:
    """The shape of decoded films in a batch of unknown size."""
    (batch,) = jax.export.symbolic_shape("batch")
    return jax.ShapeDtypeStruct((batch, side, side), np.uint8)
