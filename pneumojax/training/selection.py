"""The figures of an epoch: the best of a run, early stopping, and what guessing would reach."""

import math

import numpy as np
from ml_collections import ConfigDict

from pneumojax.stats.metrics import auroc, confusion, log_loss

Figures = dict[str, float]  # of an epoch, by the names that metrics.jsonl has


def validation_figures(labels: np.ndarray, logits: np.ndarray) -> Figures:
    """Loss, accuracy, sensitivity and specificity at 0.5, and AUROC of n films (n,)."""
    counted = confusion(labels, (logits >= 0).astype(int))
    return {
        "val_loss": log_loss(labels, logits),
        "val_accuracy": float(counted.accuracy),
        "val_sensitivity": float(counted.sensitivity),
        "val_specificity": float(counted.specificity),
        "val_auroc": auroc(labels, logits),
    }


def guessing_loss(labels: np.ndarray, class_weights: bool) -> float:
    """The cross-entropy of a network that answers every one of n films (n,) alike.

    With class weights such a network learns to answer 0.5, and without them the share of class 1.
    """
    share = float(np.mean(labels))
    if class_weights or share in (0.0, 1.0):
        return math.log(2)
    return -share * math.log(share) - (1 - share) * math.log(1 - share)


def no_better_than_guessing(last: Figures, kept: Figures, guess: float) -> str:
    """A line if the last epoch or the one that is kept has learned nothing, else "".

    guess: the loss of guessing; a loss within 1 % of it counts as no lower.
    """
    if last["train_loss"] >= 0.99 * guess:
        return (
            f"the network has learned nothing: the training loss {last['train_loss']:.3f} is no "
            f"lower than that of guessing, {guess:.3f}. It may need more epochs, batch norm "
            "(config.model.norm='batch') or another learning rate"
        )
    if kept.get("val_loss", 0.0) >= 0.99 * guess:
        return (
            f"the validation loss of the epoch that is kept, {kept['val_loss']:.3f}, is no lower "
            f"than that of guessing, {guess:.3f}. More epochs may help; with batch norm, "
            "validation means little in the first hundred steps"
        )
    return ""


def is_better(figures: Figures, best: Figures | None, config: ConfigDict) -> bool:
    """Whether an epoch is the best so far. Without validation the latest epoch is the best."""
    if best is None or config.checkpoint.best_metric == "last" or "val_loss" not in figures:
        return True
    if config.checkpoint.best_metric == "loss":
        return figures["val_loss"] < best["val_loss"]
    return figures["val_auroc"] > best["val_auroc"]


def stops_early(epoch: int, best: Figures | None, config: ConfigDict) -> bool:
    """Whether the best epoch lies `early_stopping.patience` epochs back; never if that is 0."""
    patience = config.early_stopping.patience
    return bool(patience and best and epoch - best.get("epoch", epoch) >= patience)
