"""Metrics and their intervals as pure functions of arrays.

This package needs NumPy alone and nothing else of the project, so it can be used by itself. The
same arguments mean the same everywhere; other shapes and values raise ValueError:

    labels, calls       (n,) of 0 and 1, where class 1 is the positive class
    logits, scores      (n,) finite; scores are logits or probabilities
    patients            (n,) one key per film; films with one key are drawn together
    weights             (b, n) how often each film counts, in each of b resamples

Undefined values are nan.

>>> from pneumojax import stats
>>> labels, logits = [0, 0, 0, 1, 1, 1], [-2.0, -1.5, 0.5, -0.5, 1.0, 3.0]
>>> counted = stats.confusion(labels, stats.call(stats.probability(logits), threshold=0.5))
>>> print(f"sensitivity {counted.sensitivity:.2f}, Wilson {stats.wilson(2, 3).low:.2f}")
sensitivity 0.67, Wilson 0.21
>>> area = stats.auroc_estimate(labels, logits, patients=["a", "a", "b", "c", "d", "d"])
>>> print(f"AUROC {area.value:.2f}, DeLong {area.low:.2f} to {area.high:.2f}")
AUROC 0.89, DeLong 0.58 to 1.00
"""

from pneumojax.stats.bootstrap import resample, weighted_auroc, weighted_confusion
from pneumojax.stats.calibration import calibration_metrics, fit_temperature, reliability
from pneumojax.stats.curves import average_precision, precision_recall_curve, roc_curve
from pneumojax.stats.delong import delong_interval, delong_test
from pneumojax.stats.estimates import auroc_estimate
from pneumojax.stats.intervals import koopman, percentile_interval, wilson
from pneumojax.stats.metrics import auroc, call, confusion, log_loss, probability
from pneumojax.stats.threshold_metrics import closed_forms, mcnemar, predictive_values
from pneumojax.stats.thresholds import lowest_cost, sensitivity_at_least, worst_case, youden

__all__ = [
    "auroc",
    "auroc_estimate",
    "average_precision",
    "calibration_metrics",
    "call",
    "closed_forms",
    "confusion",
    "delong_interval",
    "delong_test",
    "fit_temperature",
    "koopman",
    "log_loss",
    "lowest_cost",
    "mcnemar",
    "percentile_interval",
    "precision_recall_curve",
    "predictive_values",
    "probability",
    "reliability",
    "resample",
    "roc_curve",
    "sensitivity_at_least",
    "weighted_auroc",
    "weighted_confusion",
    "wilson",
    "worst_case",
    "youden",
]
