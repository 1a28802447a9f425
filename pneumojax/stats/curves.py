"""ROC and precision-recall curves, with pointwise bands from resampled patients."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.stats.bootstrap import resample
from pneumojax.stats.estimates import LEVEL
from pneumojax.stats.metrics import Floats, Ints, check_scores, ratio


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """False positive rate, sensitivity and threshold, each (k + 1,) for k distinct scores.

    A film is called at a score >= the threshold; the first, infinity, calls no film. A rate is nan
    throughout without a film of its class.
    """
    truth, values = check_scores(labels, scores)
    order, ends = _steps(values)
    hits = np.concatenate([[0], np.cumsum(truth[order])[ends]])
    alarms = np.concatenate([[0], ends + 1]) - hits
    rates = ratio(alarms, np.full_like(alarms, alarms[-1]))
    sensitivity = ratio(hits, np.full_like(hits, hits[-1]))
    return rates, sensitivity, np.concatenate([[np.inf], values[order][ends]])


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and threshold, each (k,) for k distinct scores, the highest first.

    A film is called at a score >= the threshold. Recall is nan without a film of class 1.
    """
    truth, values = check_scores(labels, scores)
    order, ends = _steps(values)
    hits, called = _cumulative(truth, order, ends, np.ones((1, truth.size)))
    positives = truth.sum()
    recall = hits[0] / positives if positives else np.full(ends.size, np.nan)
    return hits[0] / called[0], recall, values[order][ends]


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve (AUPRC); nan without a film of class 1.

    A guess gets the share of class 1, not one half. The area is summed over the steps of the curve:
    linear interpolation would overestimate it (Davis and Goadrich, Proc. ICML 2006, 233).
    """
    truth, values = check_scores(labels, scores)
    return float(weighted_average_precision(truth, values, np.ones((1, truth.size)))[0])


def weighted_average_precision(labels: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats:
    """Average precision (b,) for weights (b, n); nan where class 1 has no weight."""
    truth, values = check_scores(labels, scores)
    order, ends = _steps(values)
    hits, called = _cumulative(truth, order, ends, weights)
    # Where no film is called, no recall is gained, so the precision there does not matter.
    precision = np.divide(hits, called, out=np.zeros(hits.shape), where=called > 0)
    gained = np.einsum("bk,bk->b", np.diff(hits, axis=1, prepend=0), precision)
    positives = weights @ truth.astype(np.float64)
    return ratio(gained, positives)


def roc_band(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray,
    false_positive_rates: ArrayLike,
    *,
    resamples: int = 1000,
) -> tuple[Floats, Floats]:
    """95 % limits of the sensitivity at each of k false positive rates, each (k,).

    The limits are pointwise percentiles over resampled patients: about 95 % of resampled curves
    lie inside at any one rate, fewer at all rates at once. Resamples of one class are left out.
    """

    def curve(hits: Floats, called: Floats, grid: Floats) -> Floats | None:
        alarms = called - hits
        if not (hits[-1] > 0 and alarms[-1] > 0):
            return None
        rates = np.concatenate([[0], alarms / alarms[-1]])
        return np.asarray(np.interp(grid, rates, np.concatenate([[0], hits / hits[-1]])))

    return _band(check_scores(labels, scores), patients, false_positive_rates, curve, resamples)


def precision_recall_band(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray,
    recalls: ArrayLike,
    *,
    resamples: int = 1000,
) -> tuple[Floats, Floats]:
    """As `roc_band`, of the precision at the highest threshold with each of k recalls."""

    def curve(hits: Floats, called: Floats, grid: Floats) -> Floats | None:
        if not hits[-1] > 0:
            return None
        # The search is among counts of films with a small margin, so that rounding does not put
        # a recall of 1 out of reach.
        at = np.searchsorted(hits, grid * hits[-1] - 1e-9)
        at = np.maximum(at, np.flatnonzero(called)[0])
        return hits[at] / called[at]

    return _band(check_scores(labels, scores), patients, recalls, curve, resamples)


def _steps(values: Floats) -> tuple[Ints, Ints]:
    """Order of the films by falling score, and the last place in it of each distinct score.

    Films with one score are called together, so a curve has one step for each distinct score.
    """
    order = np.argsort(-values, kind="stable")
    return order, np.flatnonzero(np.diff(values[order], append=-np.inf))


def _cumulative(truth: Ints, order: Ints, ends: Ints, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of films of class 1, and of all films, called at each distinct score: (b, k) each."""
    falling = weights[:, order]
    hits = np.cumsum(falling * truth[order], axis=1)[:, ends]
    return hits, np.cumsum(falling, axis=1)[:, ends]


def _band(
    checked: tuple[Ints, Floats],
    patients: Sequence[str] | NDArray,
    at: ArrayLike,
    curve: Callable[[Floats, Floats, Floats], Floats | None],
    resamples: int,
) -> tuple[Floats, Floats]:
    """Percentiles (k,) of resampled curves; `curve` returns None where one is undefined."""
    truth, values = checked
    grid = np.asarray(at, dtype=np.float64)
    order, ends = _steps(values)

    def metrics(weights: Floats) -> dict[str, Floats]:
        rows = zip(*_cumulative(truth, order, ends, weights), strict=True)
        curves = (curve(hits, called, grid) for hits, called in rows)
        return {"": np.array([np.full(grid.size, np.nan) if c is None else c for c in curves])}

    curves = resample(metrics, patients, resamples=resamples)[""]
    kept = curves[~np.isnan(curves).any(axis=1)]
    if not len(kept):
        undefined = np.full(grid.size, np.nan)
        return undefined, undefined
    low, high = np.quantile(kept, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
