"""The loss of each film, summed over the heads, and the training objective of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from pneumojax.errors import UserError
from pneumojax.inference.network import Network, predicting_logits
from pneumojax.training.state import Moments, moments_of


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """-log p(label) of each film."""
    return optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))


def head_loss(logits: Array, labels: Array, settings: Mapping[str, Any]) -> Array:
    """The loss of one head for each film, by `config.loss`; labels may be fractions after mixup.

    `label_smoothing` s makes a label y into y (1 - s) + s / 2 (Szegedy et al. 2015, arXiv
    1512.00567, section 7). `focal_gamma` is the focal exponent, which down-weights easy films (Lin
    et al. 2017, arXiv 1708.02002). With 0 for both the loss is cross-entropy.
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


class BatchSums(NamedTuple):
    """Sums over the films of a batch whose mask is 1."""

    correct: Array  # films that the predicting head calls correctly at 0.5
    loss: Array  # their cross-entropy by the predicting head, without smoothing and weights
    moments: Moments  # summed over microbatches


@dataclass(frozen=True)
class Objective:
    """The mean loss of a batch as a function of the parameters."""

    network: Network
    settings: Mapping[str, Any]  # `config.loss`
    axis: str | None = None  # of the mesh, for `training_logits`

    def __call__(
        self, params: dict, statistics: dict, batch: dict, film_count: Array
    ) -> tuple[Array, BatchSums]:
        """A microbatch's share in the mean loss of a batch of `film_count` films, and its sums.

        It holds augmented images with "target", "label", "weight" (a factor of the film's loss),
        "mask" and "dropout_key".
        """
        labels, mask = batch["label"], batch["mask"]
        logits, batch_statistics = self.network.training_logits(
            params, statistics, batch["image"], batch["dropout_key"], self.axis
        )
        losses = network_loss(logits, batch["target"], self.settings)
        losses *= batch["weight"]
        predicted = predicting_logits(logits)
        loss = jnp.sum(binary_cross_entropy(predicted, labels) * mask)
        correct = jnp.sum(((predicted >= 0) == (labels == 1)) * mask)
        share = jnp.sum(losses * mask) / film_count
        return share, BatchSums(correct, loss, moments_of(batch_statistics))
