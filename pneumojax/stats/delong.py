"""DeLong's variance of the AUROC, and the test of two AUROCs on the same films.

Films are treated as independent; `bootstrap.py` resamples patients instead. Sources: DeLong, DeLong
and Clarke-Pearson, Biometrics 44:837 (1988); midranks give the variance in O(n log n): Sun and Xu,
IEEE Signal Process. Lett. 21:1389 (2014).
"""

import math
from typing import NamedTuple

from numpy.typing import ArrayLike

from pneumojax.stats.intervals import UNDEFINED, Interval, normal_quantile
from pneumojax.stats.metrics import Floats, check_scores, midranks


class PairedTest(NamedTuple):
    """Second AUROC minus first, its limits and the two-sided p-value; nan where undefined."""

    difference: float
    low: float
    high: float
    p: float


def delong(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """AUROC and DeLong's estimate of its variance; nan with fewer than two films in a class."""
    of_positive, of_negative = _components(labels, scores)
    if min(of_positive.size, of_negative.size) < 2:
        return math.nan, math.nan
    return float(of_positive.mean()), _variance(of_positive, of_negative)


def delong_interval(labels: ArrayLike, scores: ArrayLike, level: float = 0.95) -> Interval:
    """The AUROC +- z standard errors, without a logit transform, clipped to [0, 1].

    nan where the variance cannot be estimated: with fewer than two films in a class, or with an
    estimate of 0 (the classes are separated perfectly), which would claim certainty.
    """
    area, variance = delong(labels, scores)
    if not variance > 0:
        return UNDEFINED
    half = normal_quantile(level) * variance**0.5
    return Interval(max(0.0, area - half), min(1.0, area + half))


def delong_test(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, level: float = 0.95
) -> PairedTest:
    """Tests whether two sets of scores of the same films differ in AUROC.

    Limits (the difference +- z standard errors) and p are nan where the variance of the difference
    cannot be estimated: with fewer than two films in a class (the difference is nan too), or with
    scores that rank all pairs of films alike.
    """
    components = zip(_components(labels, first), _components(labels, second), strict=True)
    # Differences per film contain the covariance of the two networks.
    of_positive, of_negative = (b - a for a, b in components)
    if min(of_positive.size, of_negative.size) < 2:
        return PairedTest(math.nan, math.nan, math.nan, math.nan)
    difference = float(of_positive.mean())
    error = _variance(of_positive, of_negative) ** 0.5
    # Where both rank alike the variance is 0, and anything else is rounding.
    if error < 1e-12:
        return PairedTest(difference, math.nan, math.nan, math.nan)
    half = normal_quantile(level) * error
    p = math.erfc(abs(difference) / error / 2**0.5)
    return PairedTest(difference, difference - half, difference + half, p)


def _components(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """For each film of class 1, then of class 0: the share of the other class ranked correctly."""
    truth, values = check_scores(labels, scores)
    positive, negative = values[truth == 1], values[truth == 0]
    ranks = midranks(values)
    of_positive = (ranks[truth == 1] - midranks(positive)) / max(1, negative.size)
    of_negative = 1 - (ranks[truth == 0] - midranks(negative)) / max(1, positive.size)
    return of_positive, of_negative


def _variance(of_positive: Floats, of_negative: Floats) -> float:
    positive = of_positive.var(ddof=1) / of_positive.size
    return float(positive + of_negative.var(ddof=1) / of_negative.size)
