"""Which epoch of a run is its best, and when to look no further."""

import numpy as np
from ml_collections import ConfigDict

from pneumojax.stats import metrics as measure


def validation_figures(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Loss, accuracy, sensitivity and specificity at 0.5, and AUROC of films (n,)."""
    counted = measure.confusion(labels, (logits >= 0).astype(int))
    return {
        "val_loss": measure.log_loss(labels, logits),
        "val_accuracy": float(counted.accuracy),
        "val_sensitivity": float(counted.sensitivity),
        "val_specificity": float(counted.specificity),
        "val_auroc": measure.auroc(labels, logits),
    }


def is_better(figures: dict, best: dict | None, config: ConfigDict) -> bool:
    """Whether an epoch is the best so far; where nothing compares them the last one is."""
    if best is None or config.checkpoint.best_metric == "last" or "val_loss" not in figures:
        return True
    if config.checkpoint.best_metric == "loss":
        return figures["val_loss"] < best["val_loss"]
    return figures["val_auroc"] > best["val_auroc"]


def stops_early(epoch: int, best: dict | None, config: ConfigDict) -> bool:
    """Whether, after an epoch, the best one is too long ago; never without validation."""
    patience = config.early_stopping.patience
    return bool(patience and best and epoch - best.get("epoch", epoch) >= patience)
