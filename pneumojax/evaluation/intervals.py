"""Confidence intervals for the figures of an evaluation: Wilson, DeLong and patient bootstrap.

Wilson and DeLong take films as independent, which several films of one patient are not; the
bootstrap over patients does not. An interval that cannot be had is (nan, nan).
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.data.films import CLASS_NAMES
from pneumojax.evaluation.metrics import (
    Confusion,
    Floats,
    check_labels,
    check_scores,
    midranks,
)

# Elements of one block of resampled weights: about 16 MB in float64, which stays near the cache.
_BLOCK = 2_000_000


class Interval(NamedTuple):
    """Two-sided confidence limits, both nan where there are none."""

    low: float
    high: float


UNDEFINED = Interval(float("nan"), float("nan"))


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of the proportion k / n; nan for n = 0, where nothing was observed.

    Never degenerate: 0 of n and n of n get an interval of positive width.
    Source: Wilson, J. Am. Stat. Assoc. 22:209 (1927), without continuity correction.
    """
    if n == 0:
        return UNDEFINED
    z = _quantile(level)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (k * (n - k) / n + z * z / 4) ** 0.5
    # At k = 0 and k = n a limit is exactly 0 or 1; rounding must not move it past the value.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Interval(low, high)


def delong_interval(labels: ArrayLike, scores: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of the AUROC of scores (n,) against labels (n,), films taken as independent.

    AUROC +- z standard errors on its own scale (no logit transform), clipped to [0, 1].
    nan where the variance cannot be estimated: fewer than two films in a class, or an estimate
    of 0 (as when the classes are separated perfectly), which would claim certainty.
    Sources: DeLong, DeLong and Clarke-Pearson, Biometrics 44:837 (1988), computed by midranks
    in O(n log n): Sun and Xu, IEEE Signal Process. Lett. 21:1389 (2014).

    Raises:
      ValueError: lengths differ, a label is neither 0 nor 1, or a score is not finite.
    """
    area, variance = delong(labels, scores)
    if not variance > 0:
        return UNDEFINED
    half = _quantile(level) * variance**0.5
    return Interval(max(0.0, area - half), min(1.0, area + half))


def delong(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """AUROC and DeLong's estimate of its variance; both nan with under two films in a class."""
    truth, values = check_scores(labels, scores)
    positive, negative = values[truth == 1], values[truth == 0]
    if min(positive.size, negative.size) < 2:
        return float("nan"), float("nan")
    ranks = midranks(values)
    # Per film of one class: the share of the other class on its right side, ties one half.
    of_positive = (ranks[truth == 1] - midranks(positive)) / negative.size
    of_negative = 1 - (ranks[truth == 0] - midranks(negative)) / positive.size
    variance = of_positive.var(ddof=1) / positive.size + of_negative.var(ddof=1) / negative.size
    return float(of_positive.mean()), float(variance)


def patient_bootstrap(
    labels: ArrayLike,
    calls: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals by drawing whole patients with replacement.

    Args:
      labels: (n,) of 0 and 1.
      calls: (n,) of 0 and 1.
      scores: (n,) finite, logits or probabilities.
      patients: (n,) one key per film; films of one key are drawn together.
      resamples: draws of as many patients as there are.
      level: coverage aimed at.
      seed: the draws are a function of it.

    Returns:
      Intervals of accuracy, sensitivity, specificity, balanced_accuracy, f1_NORMAL,
      f1_PNEUMONIA, weighted_precision, weighted_f1 and auroc. One is nan where more than one
      resample in twenty leaves its figure undefined (too few patients of a class, or too few
      calls), and where all resamples agree (one patient only, or nothing but right calls):
      a resample cannot hold an error that the sample does not, so it says nothing there.

    Source: the cluster bootstrap; Davison and Hinkley, Bootstrap Methods (1997), section 3.8.

    Raises:
      ValueError: lengths differ, a label or call is neither 0 nor 1, a score is not finite.
    """
    truth, values = check_scores(labels, scores)
    called = check_labels(calls)
    if not truth.size == called.size == len(patients):
        raise ValueError(f"{truth.size} labels, {called.size} calls, {len(patients)} patients")
    keys, patient = np.unique(np.asarray(patients), return_inverse=True)
    counts = np.zeros((keys.size, 4))
    np.add.at(counts, (patient, 2 * truth + called), 1)

    rng = np.random.default_rng([seed])
    size = max(1, _BLOCK // max(1, truth.size))
    blocks = []
    for start in range(0, resamples, size):
        weights = _draw(rng, min(size, resamples - start), keys.size)
        figures = _figures(Confusion(*(weights @ counts).T))
        figures["auroc"] = weighted_auroc(truth, values, weights[:, patient])
        blocks.append(figures)
    return {
        name: percentile_interval(np.concatenate([block[name] for block in blocks]), level)
        for name in blocks[0]
    }


def percentile_interval(values: Floats, level: float = 0.95) -> Interval:
    """Percentile limits of resampled values (b,); nan as described in `patient_bootstrap`."""
    defined = values[~np.isnan(values)]
    if defined.size < 0.95 * values.size or np.ptp(defined) < 1e-12:
        return UNDEFINED
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats:
    """AUROC (b,) of scores (n,) against labels (n,) under each row of weights (b, n).

    A whole-number weight w counts a film w times. nan where a class has no weight.
    """
    truth, values = check_scores(labels, scores)
    positive = np.flatnonzero(truth == 1)
    negative = np.flatnonzero(truth == 0)
    negative = negative[np.argsort(values[negative], kind="stable")]
    below = np.zeros((weights.shape[0], negative.size + 1))
    np.cumsum(weights[:, negative], axis=1, out=below[:, 1:])
    lower = np.searchsorted(values[negative], values[positive], side="left")
    upper = np.searchsorted(values[negative], values[positive], side="right")
    weight = weights[:, positive]
    # Weight of class 0 strictly below each film of class 1, plus half of what ties with it.
    wins = np.einsum("bp,bp->b", weight, below[:, lower] + below[:, upper]) / 2
    pairs = weight.sum(axis=1) * below[:, -1]
    return np.divide(wins, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def _draw(rng: np.random.Generator, rows: int, patients: int) -> Floats:
    """How often each patient is drawn: float64 (rows, patients), each row summing to patients."""
    drawn = rng.integers(patients, size=(rows, patients)) + patients * np.arange(rows)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=rows * patients)
    return counts.reshape(rows, patients).astype(np.float64)


def _figures(counted: Confusion) -> dict[str, Floats]:
    figures = {
        "accuracy": counted.accuracy,
        "sensitivity": counted.sensitivity,
        "specificity": counted.specificity,
        "balanced_accuracy": counted.balanced_accuracy,
        "weighted_precision": counted.weighted_precision,
        "weighted_f1": counted.weighted_f1,
    }
    return figures | {f"f1_{name}": counted.f1[i] for i, name in enumerate(CLASS_NAMES)}


def _quantile(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
