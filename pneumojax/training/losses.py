"""The loss of each film: sigmoid binary cross-entropy, summed over the heads."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from pneumojax.errors import UserError
from pneumojax.inference.network import predicting_logits


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """-log p(label) of each film, from logits; all (batch,)."""
    return optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))


def head_loss(logits: Array, labels: Array, settings: Mapping[str, Any]) -> Array:
    """The loss of one head for each film, (batch,).

    Args:
        labels: (batch,), 0 or 1, or a number between them after mixup.
        settings: `config.loss`. `label_smoothing` s makes a label y into y (1 - s) + s / 2
            (Szegedy et al. 2015, arXiv 1512.00567, section 7). `focal_gamma` is the focal exponent,
            which down-weights easy films (Lin et al. 2017, arXiv 1708.02002). With 0 for both the
            loss is cross-entropy.
    """
    targets = labels.astype(logits.dtype)
    if smoothing := settings["label_smoothing"]:
        targets = targets * (1 - smoothing) + smoothing / 2
    loss = binary_cross_entropy(logits, targets)
    if gamma := settings["focal_gamma"]:
        probability = jax.nn.sigmoid(logits)
        loss *= jnp.abs(targets - probability) ** gamma
    return loss


def network_loss(logits: Mapping[str, Array], labels: Array, settings: Mapping[str, Any]) -> Array:
    """The loss of the predicting head plus the weighted losses of auxiliary heads, (batch,)."""
    loss = head_loss(predicting_logits(logits), labels, settings)
    if "main" in logits:
        auxiliary = [name for name in logits if name != "main"]
        weights = settings["auxiliary_weights"]
        if len(weights) < len(auxiliary):
            raise UserError(
                f"config.loss.auxiliary_weights is {tuple(weights)}: there are {len(auxiliary)} "
                "auxiliary heads beside the main one, and each needs a weight"
            )
        # More weights than heads are allowed: a config may serve networks with fewer heads.
        for name, weight in zip(auxiliary, weights, strict=False):
            loss += weight * head_loss(logits[name], labels, settings)
    return loss


def class_factors(labels: NDArray, balanced: bool) -> tuple[float, float]:
    """Factors for films of class 0 and 1: 1, or n / (2 x films of the class), whose mean is 1."""
    if not balanced:
        return 1.0, 1.0
    normal, pneumonia = np.bincount(labels, minlength=2)
    return len(labels) / (2 * normal), len(labels) / (2 * pneumonia)
