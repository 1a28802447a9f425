"""Intervals by the cluster bootstrap: whole patients are drawn with replacement.

Films of one patient resemble each other, so they are drawn together. Networks that are compared on
the same films get the same draws, so the interval of their difference is a paired one.
Source: Davison and Hinkley, Bootstrap Methods (1997), section 3.8.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.stats.metrics import Confusion, Floats, check_labels, check_scores, ratio

# Elements of one block of resampled weights. About 16 MB in float64 stays near the cache.
_BLOCK = 2_000_000


def resample(
    metrics: Callable[[Floats], Mapping[str, Floats]],
    patients: Sequence[str] | NDArray,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Floats]:
    """Metrics of resamples, each of as many patients as there are; resamples are the first axis.

    `metrics` maps weights (b, n) to metrics whose first axis is b, a few resamples at a time. The
    draws depend on `seed`, `resamples` and `patients` alone.
    """
    keys, patient = np.unique(np.asarray(patients), return_inverse=True)
    rng = np.random.default_rng([seed])
    size = max(1, _BLOCK // max(1, patient.size))
    blocks = [
        metrics(_draw(rng, min(size, resamples - start), keys.size)[:, patient])
        for start in range(0, resamples, size)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def weighted_confusion(labels: ArrayLike, calls: ArrayLike, weights: Floats) -> Confusion:
    cells = np.eye(4)[2 * check_labels(labels) + check_labels(calls)]
    return Confusion(*(weights @ cells).T)


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats:
    """AUROC (b,); a film with the weight w counts as w films, nan where a class has no weight."""
    truth, values = check_scores(labels, scores)
    positive = np.flatnonzero(truth == 1)
    negative = np.flatnonzero(truth == 0)
    negative = negative[np.argsort(values[negative], kind="stable")]
    below = np.zeros((weights.shape[0], negative.size + 1))
    np.cumsum(weights[:, negative], axis=1, out=below[:, 1:])
    lower = np.searchsorted(values[negative], values[positive], side="left")
    upper = np.searchsorted(values[negative], values[positive], side="right")
    weight = weights[:, positive]
    # A film of class 1 wins against the weight of class 0 below it and half of the weight that
    # ties with it.
    wins = np.einsum("bp,bp->b", weight, below[:, lower] + below[:, upper]) / 2
    pairs = weight.sum(axis=1) * below[:, -1]
    return ratio(wins, pairs)


def _draw(rng: np.random.Generator, rows: int, patients: int) -> Floats:
    """How often each patient is drawn: float64 (rows, patients); each row sums to `patients`."""
    drawn = rng.integers(patients, size=(rows, patients)) + patients * np.arange(rows)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=rows * patients)
    return counts.reshape(rows, patients).astype(np.float64)
