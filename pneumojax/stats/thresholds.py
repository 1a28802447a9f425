"""From validation films to the threshold at which a network calls PNEUMONIA.

Three rules, each a pure function of labels and logits. They are for validation films alone: a
threshold that has seen the films it is scored on flatters itself.

A threshold stands halfway, in logits, between two neighbouring scores. So films of one score are
never parted, no film lies on it (where rounding on another device could change the call), and it
keeps its calls when all logits are divided by a temperature, itself included. To call every film,
or none, it stands one logit beyond the outermost.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pneumojax.stats.metrics import Floats, Ints, check_scores, probability


class OperatingPoint(NamedTuple):
    """A threshold, and what it gave on the films that it was chosen on.

    logit: a film is called PNEUMONIA at this logit or above.
    probability: the same on the scale of uncalibrated probabilities.
    """

    logit: float
    probability: float
    sensitivity: float
    specificity: float


def youden(labels: ArrayLike, logits: ArrayLike) -> OperatingPoint:
    """The highest sensitivity + specificity - 1; among equals the highest sensitivity.

    Args:
      labels: (n,) of 0 and 1, both present.
      logits: (n,) finite.

    Source: Youden, Cancer 3:32 (1950).

    Raises:
      ValueError: a class is missing, lengths differ, or a value is not allowed.
    """
    hits, alarms, thresholds = _candidates(labels, logits)
    # Whole numbers, so that equals are equal.
    gain = hits * alarms[-1] - alarms * hits[-1]
    best = np.flatnonzero(gain == gain.max())[-1]
    return _point(hits, alarms, thresholds, best)


def sensitivity_at_least(
    labels: ArrayLike, logits: ArrayLike, sensitivity: float
) -> OperatingPoint:
    """The highest threshold whose sensitivity on these films reaches the one asked for.

    It has the highest specificity of all that do. On other films the sensitivity may fall short.

    Args:
      labels: (n,) of 0 and 1, both present.
      logits: (n,) finite.
      sensitivity: above 0, at most 1.

    Raises:
      ValueError: a class is missing, lengths differ, or a value is not allowed.
    """
    if not 0 < sensitivity <= 1:
        raise ValueError(f"a sensitivity to reach is above 0 and at most 1, not {sensitivity}")
    hits, alarms, thresholds = _candidates(labels, logits)
    # Less than a film: 0.95 of 20 is 19 in spite of rounding.
    needed = math.ceil(sensitivity * hits[-1] - 1e-9)
    return _point(hits, alarms, thresholds, int(np.searchsorted(hits, needed)))


def lowest_cost(labels: ArrayLike, logits: ArrayLike, cost_ratio: float) -> OperatingPoint:
    """The lowest cost where a missed pneumonia costs `cost_ratio` times a false alarm.

    Among equals the highest sensitivity. Classes weigh as often as they occur in these films; to
    choose for a prevalence p, multiply the ratio by p / (1 - p) times normal films / films of
    pneumonia.

    Args:
      labels: (n,) of 0 and 1, both present.
      logits: (n,) finite.
      cost_ratio: above 0.

    Raises:
      ValueError: a class is missing, lengths differ, or a value is not allowed.
    """
    if not 0 < cost_ratio < math.inf:
        raise ValueError(f"a cost ratio is above 0 and finite, not {cost_ratio}")
    hits, alarms, thresholds = _candidates(labels, logits)
    cost = cost_ratio * (hits[-1] - hits) + alarms
    best = np.flatnonzero(cost <= cost.min() * (1 + 1e-12))[-1]
    return _point(hits, alarms, thresholds, best)


def _candidates(labels: ArrayLike, logits: ArrayLike) -> tuple[Ints, Ints, Floats]:
    """True positives, false positives and threshold (k + 1,), from no film called to all."""
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
