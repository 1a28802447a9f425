"""What training minimises, film by film: sigmoid binary cross-entropy, summed over the heads."""

from collections.abc import Mapping

import optax
from jax import Array


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """-log p(label) of each film, from logits; all (batch,)."""
    return optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))


def prediction(logits: Mapping[str, Array]) -> Array:
    """The logits that a network predicts with: the main head's where it has one."""
    return logits["main"] if "main" in logits else logits["auxiliary"]


def network_loss(logits: Mapping[str, Array], labels: Array, auxiliary_weight: float) -> Array:
    """Loss of the predicting head, plus `auxiliary_weight` times the auxiliary head's beside it.

    Each film's own, (batch,): the step averages over the films whose mask is 1.
    """
    loss = binary_cross_entropy(prediction(logits), labels)
    if "main" in logits and "auxiliary" in logits:
        loss += auxiliary_weight * binary_cross_entropy(logits["auxiliary"], labels)
    return loss
