"""The training objective: the loss of a batch, and the sums for the training curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from pneumojax.inference.network import Network, predicting_logits
from pneumojax.training.losses import binary_cross_entropy, network_loss
from pneumojax.training.running_statistics import Moments, moments_of


class BatchSums(NamedTuple):
    """Sums over the films of a batch whose mask is 1.

    correct: films that the predicting head calls correctly at 0.5.
    loss: their cross-entropy by the predicting head, without smoothing and weights.
    moments: batch norm's moments, summed over microbatches.
    """

    correct: Array
    loss: Array
    moments: Moments


@dataclass(frozen=True)
class Objective:
    """The mean loss of a batch as a function of the parameters.

    network: the network in training mode.
    settings: `config.loss`.
    class_weights: factors of a film's loss, normal films first.
    axis: the mesh axis over which batch norm takes its statistics; None if each device takes its
        own.
    """

    network: Network
    settings: Mapping[str, Any]
    class_weights: tuple[float, float] = (1.0, 1.0)
    axis: str | None = None

    def __call__(
        self, params: dict, statistics: dict, batch: dict, film_count: Array
    ) -> tuple[Array, BatchSums]:
        """A microbatch's share in the batch's mean loss, and its sums.

        Args:
            params, statistics: as `Network.divide` returns them.
            batch: augmented images with "target", "label", "mask" and "dropout_key".
            film_count: how many films the whole batch holds, without padding.
        """
        labels, mask = batch["label"], batch["mask"]
        logits, batch_statistics = self.network.training_logits(
            params, statistics, batch["image"], batch["dropout_key"], self.axis
        )
        losses = network_loss(logits, batch["target"], self.settings)
        losses *= jnp.where(labels == 1, self.class_weights[1], self.class_weights[0])
        predicted = predicting_logits(logits)
        loss = jnp.sum(binary_cross_entropy(predicted, labels) * mask)
        correct = jnp.sum(((predicted >= 0) == (labels == 1)) * mask)
        share = jnp.sum(losses * mask) / film_count
        return share, BatchSums(correct, loss, moments_of(batch_statistics))
