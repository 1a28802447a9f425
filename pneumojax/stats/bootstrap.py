"""Intervals by drawing whole patients with replacement: of one network's figures, or of several.

Films of one patient resemble each other, so they are drawn together. Networks compared on the
same films get the same draws, which makes the interval of their difference a paired one.

Source: the cluster bootstrap; Davison and Hinkley, Bootstrap Methods (1997), section 3.8.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.stats.intervals import Interval, percentile_interval
from pneumojax.stats.metrics import Confusion, Floats, check_labels, check_scores
from pneumojax.stats.threshold_metrics import threshold_metrics

# Elements of one block of resampled weights: about 16 MB in float64, which stays near the cache.
_BLOCK = 2_000_000


def resample(
    figures: Callable[[Floats], Mapping[str, Floats]],
    patients: Sequence[str] | NDArray,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Floats]:
    """Any figures under resampled patients; differences of them stay paired.

    Args:
      figures: from weights (b, n), how often each film is drawn in each of b resamples, to
        figures with b as the first axis. Called with a few resamples at a time.
      patients: (n,) one key per film; films of one key are drawn together.
      resamples: draws of as many patients as there are.
      seed: the draws are a function of it, of the resamples and of the patients.

    Returns:
      Each figure with `resamples` as its first axis.
    """
    keys, patient = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng([seed])
    size = max(1, _BLOCK // max(1, patient.size))
    blocks = [
        figures(_draw(rng, min(size, resamples - start), keys.size)[:, patient])
        for start in range(0, resamples, size)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


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
    """Percentile intervals of one network's figures.

    Args:
      labels: (n,) of 0 and 1.
      calls: (n,) of 0 and 1.
      scores: (n,) finite, logits or probabilities.
      patients: (n,) one key per film; films of one key are drawn together.
      resamples: draws of as many patients as there are.
      level: coverage aimed at.
      seed: the draws are a function of it.

    Returns:
      Intervals of all `threshold_metrics` and of auroc. One is nan where more than one resample in
      twenty leaves its figure undefined (too few patients of a class, or too few calls), and
      where all resamples agree (one patient only, or nothing but right calls): a resample
      cannot hold an error that the sample does not, so it says nothing there.

    Raises:
      ValueError: lengths differ, a label or call is neither 0 nor 1, a score is not finite.
    """
    truth, values = check_scores(labels, scores)
    called = check_labels(calls)
    if not truth.size == called.size == len(patients):
        raise ValueError(f"{truth.size} labels, {called.size} calls, {len(patients)} patients")

    def figures(weights: Floats) -> dict[str, Floats]:
        counted = threshold_metrics(weighted_confusion(truth, called, weights))
        return {**counted, "auroc": weighted_auroc(truth, values, weights)}

    drawn = resample(figures, patients, resamples=resamples, seed=seed)
    return {name: percentile_interval(values, level) for name, values in drawn.items()}


def weighted_confusion(labels: ArrayLike, calls: ArrayLike, weights: Floats) -> Confusion:
    """Confusion matrices (b,) of calls (n,) against labels (n,), by rows of weights (b, n)."""
    cells = np.eye(4)[2 * check_labels(labels) + check_labels(calls)]
    return Confusion(*(weights @ cells).T)


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
