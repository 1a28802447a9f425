"""Rules that choose the threshold above which a film is called class 1.

Choose on validation films only: a threshold does better on the films that it was chosen on than on
new films. Both classes must be present.

A threshold lies halfway between two neighbouring logits, so no film lies on it, where rounding on
another device could change its call. Dividing the logits and the threshold by a temperature
changes no call. The thresholds that call all films, or none, lie one logit beyond the outermost.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pneumojax.stats.metrics import Floats, Ints, check_scores, probability


class OperatingPoint(NamedTuple):
    """An uncalibrated threshold, with its sensitivity and specificity where it was chosen."""

    logit: float
    probability: float
    sensitivity: float
    specificity: float


def youden(labels: ArrayLike, logits: ArrayLike) -> OperatingPoint:
    """The highest sensitivity + specificity; ties go to the sensitivity.

    Source: Youden, Cancer 3:32 (1950).
    """
    hits, alarms, thresholds = _candidates(labels, logits)
    # Integers, so that ties are exact.
    gain = hits * alarms[-1] - alarms * hits[-1]
    best = np.flatnonzero(gain == gain.max())[-1]
    return _point(hits, alarms, thresholds, best)


def sensitivity_at_least(
    labels: ArrayLike, logits: ArrayLike, sensitivity: float
) -> OperatingPoint:
    """The highest threshold that reaches a sensitivity, and so the most specific one."""
    if not 0 < sensitivity <= 1:
        raise ValueError(f"a sensitivity to reach is above 0 and at most 1, not {sensitivity}")
    hits, alarms, thresholds = _candidates(labels, logits)
    # The margin makes 0.95 of 20 films 19 in spite of rounding.
    needed = math.ceil(sensitivity * hits[-1] - 1e-9)
    return _point(hits, alarms, thresholds, int(np.searchsorted(hits, needed)))


def lowest_cost(labels: ArrayLike, logits: ArrayLike, cost_ratio: float) -> OperatingPoint:
    """The threshold of least cost, if a false negative costs `cost_ratio` false positives.

    Ties go to the sensitivity. Classes count as often as they occur in these films. To choose for
    a prevalence p, multiply `cost_ratio` by p / (1 - p) times films of class 0 / films of class 1.
    """
    if not 0 < cost_ratio < math.inf:
        raise ValueError(f"a cost ratio is above 0 and finite, not {cost_ratio}")
    hits, alarms, thresholds = _candidates(labels, logits)
    cost = cost_ratio * (hits[-1] - hits) + alarms
    best = np.flatnonzero(cost <= cost.min() * (1 + 1e-12))[-1]
    return _point(hits, alarms, thresholds, best)


def worst_case(labels: ArrayLike, logits: ArrayLike, groups: ArrayLike) -> OperatingPoint:
    """The threshold whose lowest sensitivity or specificity in any group is highest.

    A group, such as the films of a machine, may lack one class. Ties go to the middle threshold.
    Source: the maximin criterion of Wald, Statistical Decision Functions (1950).
    """
    hits, alarms, thresholds = _candidates(labels, logits)
    truth, values = check_scores(labels, logits)
    members = np.asarray(groups)
    if members.shape != truth.shape:
        raise ValueError(f"{truth.size} films and groups of shape {members.shape}")
    lowest = np.ones(len(thresholds))
    for group in np.unique(members):
        for positive in (0, 1):
            scores = np.sort(values[(members == group) & (truth == positive)])
            if scores.size:
                below = np.searchsorted(scores, thresholds) / scores.size
                lowest = np.minimum(lowest, 1 - below if positive else below)
    best = np.flatnonzero(lowest == np.max(lowest))
    return _point(hits, alarms, thresholds, int(best[len(best) // 2]))


def _candidates(labels: ArrayLike, logits: ArrayLike) -> tuple[Ints, Ints, Floats]:
    """True positives, false positives and threshold, each (k + 1,), from none called to all."""
    truth, values = check_scores(labels, logits)
    if len(set(truth.tolist())) < 2:
        raise ValueError("a threshold needs films of both classes")
    scores, place = np.unique(values, return_inverse=True)
    positives = np.bincount(place, weights=truth).astype(np.int64)[::-1]
    films = np.bincount(place)[::-1]
    hits = np.concatenate([[0], np.cumsum(positives)])
    called = np.concatenate([[0], np.cumsum(films)])
    falling = scores[::-1]
    between = (falling[:-1] + falling[1:]) / 2
    thresholds = np.concatenate([[falling[0] + 1], between, [falling[-1] - 1]])
    return hits, called - hits, thresholds


def _point(hits: Ints, alarms: Ints, thresholds: Floats, at: int) -> OperatingPoint:
    threshold = float(thresholds[at])
    return OperatingPoint(
        logit=threshold,
        probability=float(probability(threshold)),
        sensitivity=float(hits[at] / hits[-1]),
        specificity=float((alarms[-1] - alarms[at]) / alarms[-1]),
    )
