"""Precision-recall, and bands by resampled patients around both curves of an evaluation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.stats.bootstrap import resample
from pneumojax.stats.metrics import Floats, Ints, check_scores


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and threshold, each (k,) for k distinct scores, the highest first.

    A film is called at a score >= the threshold; films of one score are called together. Recall
    is nan throughout where labels (n,) hold no film of class 1.

    Raises:
      ValueError: lengths differ, a label is neither 0 nor 1, or a score is not finite.
    """
    truth, values = check_scores(labels, scores)
    order, ends = _steps(values)
    hits, called = _cumulative(truth, order, ends, np.ones((1, truth.size)))
    positives = truth.sum()
    recall = hits[0] / positives if positives else np.full(ends.size, np.nan)
    return hits[0] / called[0], recall, values[order][ends]


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve as steps (AUPRC); nan without a film of class 1.

    Chance level is the share of class 1, not one half. The sum over steps of recall gained times
    precision there: straight lines between points would flatter (Davis and Goadrich, Proc. ICML
    2006, 233).

    Raises:
      ValueError: lengths differ, a label is neither 0 nor 1, or a score is not finite.
    """
    truth, values = check_scores(labels, scores)
    return float(weighted_average_precision(truth, values, np.ones((1, truth.size)))[0])


def weighted_average_precision(labels: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats:
    """Average precision (b,) under each row of weights (b, n); nan where class 1 has none.

    A whole-number weight w counts a film w times.
    """
    truth, values = check_scores(labels, scores)
    order, ends = _steps(values)
    hits, called = _cumulative(truth, order, ends, weights)
    # Nothing is gained where nothing was called, so that step may have any precision.
    precision = np.divide(hits, called, out=np.zeros(hits.shape), where=called > 0)
    gained = np.einsum("bk,bk->b", np.diff(hits, axis=1, prepend=0), precision)
    positives = weights @ truth.astype(np.float64)
    return np.divide(gained, positives, out=np.full(len(weights), np.nan), where=positives > 0)


def roc_band(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray,
    false_positive_rates: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Limits of the sensitivity at each of k false positive rates, each (k,).

    Pointwise percentiles over resampled patients: about `level` of resampled curves lie inside
    at any one rate, fewer at all rates at once. Resamples with one class are left out.
    """
    truth, values = check_scores(labels, scores)
    grid = np.asarray(false_positive_rates, dtype=np.float64)
    order, ends = _steps(values)

    def figures(weights: Floats) -> dict[str, Floats]:
        hits, called = _cumulative(truth, order, ends, weights)
        curves = np.full((len(weights), grid.size), np.nan)
        for curve, right, alarms in zip(curves, hits, called - hits, strict=True):
            if right[-1] > 0 and alarms[-1] > 0:
                rates = np.concatenate([[0], alarms / alarms[-1]])
                curve[:] = np.interp(grid, rates, np.concatenate([[0], right / right[-1]]))
        return {"curve": curves}

    return _band(resample(figures, patients, resamples=resamples, seed=seed)["curve"], level)


def precision_recall_band(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray,
    recalls: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Limits of the precision at the highest threshold with each of k recalls, each (k,).

    Pointwise percentiles as in `roc_band`; resamples without class 1 are left out.
    """
    truth, values = check_scores(labels, scores)
    grid = np.asarray(recalls, dtype=np.float64)
    order, ends = _steps(values)

    def figures(weights: Floats) -> dict[str, Floats]:
        hits, called = _cumulative(truth, order, ends, weights)
        curves = np.full((len(weights), grid.size), np.nan)
        for curve, right, films in zip(curves, hits, called, strict=True):
            if right[-1] > 0:
                # Counts of films, so that a recall of 1 is reached in spite of rounding.
                at = np.searchsorted(right, grid * right[-1] - 1e-9)
                at = np.maximum(at, np.flatnonzero(films)[0])
                curve[:] = right[at] / films[at]
        return {"curve": curves}

    return _band(resample(figures, patients, resamples=resamples, seed=seed)["curve"], level)


def _steps(values: Floats) -> tuple[Ints, Ints]:
    """Films from the highest score down, and the places there at which a distinct score ends."""
    order = np.argsort(-values, kind="stable")
    return order, np.flatnonzero(np.diff(values[order], append=-np.inf))


def _cumulative(truth: Ints, order: Ints, ends: Ints, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of films of class 1, and of all, called at each distinct score: (b, k) each."""
    falling = weights[:, order]
    hits = np.cumsum(falling * truth[order], axis=1)[:, ends]
    return hits, np.cumsum(falling, axis=1)[:, ends]


def _band(curves: Floats, level: float) -> tuple[Floats, Floats]:
    kept = curves[~np.isnan(curves).any(axis=1)]
    if not len(kept):
        undefined = np.full(curves.shape[1], np.nan)
        return undefined, undefined
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
