"""What training minimises: sigmoid binary cross-entropy, summed over the heads."""

from collections.abc import Mapping

import jax.numpy as jnp
import optax
from jax import Array


def binary_cross_entropy(logits: Array, labels: Array, mask: Array) -> Array:
    """Mean over the films whose mask is 1 of -log p(label), from logits; all (batch,), a scalar."""
    losses = optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))
    return jnp.sum(losses * mask) / jnp.sum(mask)


def prediction(logits: Mapping[str, Array]) -> Array:
    """The logits that a network predicts with: the main head's where it has one."""
    return logits["main"] if "main" in logits else logits["auxiliary"]


def network_loss(
    logits: Mapping[str, Array], labels: Array, mask: Array, auxiliary_weight: float
) -> Array:
    """Loss of the predicting head, plus `auxiliary_weight` times the auxiliary head's beside it."""
    loss = binary_cross_entropy(prediction(logits), labels, mask)
    if "main" in logits and "auxiliary" in logits:
        loss += auxiliary_weight * binary_cross_entropy(logits["auxiliary"], labels, mask)
    return loss
