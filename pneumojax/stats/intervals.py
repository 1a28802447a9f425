"""Confidence limits of shares, of ratios of shares, and of resampled values."""

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from pneumojax.stats.metrics import Floats


class Interval(NamedTuple):
    low: float
    high: float


UNDEFINED = Interval(float("nan"), float("nan"))


def normal_quantile(level: float) -> float:
    """Half the width, in standard errors, of a two-sided normal interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of the proportion k / n; nan for n = 0.

    The width is positive even for k = 0 and k = n.
    Source: Wilson, J. Am. Stat. Assoc. 22:209 (1927), without continuity correction.
    """
    if n == 0:
        return UNDEFINED
    z = normal_quantile(level)
    centre = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (k * (n - k) / n + z * z / 4) ** 0.5
    # At k = 0 and k = n one limit is exactly 0 or 1. Rounding could move it past k / n.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Interval(low, high)


def koopman(k1: int, n1: int, k2: int, n2: int, level: float = 0.95) -> Interval:
    """Koopman's score interval of the ratio (k1 / n1) / (k2 / n2) of independent proportions.

    For k1 = 0 the low limit is 0, for k2 = 0 the high limit is infinity. nan where n1, n2 or
    k1 + k2 is 0.
    Source: Koopman, Biometrics 40:513 (1984), solved by bisection.
    """
    if min(n1, n2, k1 + k2) == 0:
        return UNDEFINED
    z = normal_quantile(level)

    def score(ratio: float) -> float:
        """Standardised k1 / n1 - ratio * k2 / n2, at the maximum-likelihood proportions."""
        b = ratio * (n1 + k2) + k1 + n2
        root = max(0.0, b * b - 4 * ratio * (n1 + n2) * (k1 + k2)) ** 0.5  # rounding may go below 0
        # This form of the quadratic's smaller root does not subtract nearly equal numbers.
        p1 = 2 * ratio * (k1 + k2) / (b + root)
        p2 = p1 / ratio
        variance = p1 * (1 - p1) / n1 + ratio**2 * p2 * (1 - p2) / n2
        gap = k1 / n1 - ratio * k2 / n2
        if variance > 0:
            return gap / variance**0.5
        return 0.0 if abs(gap) < 1e-12 else float(np.copysign(np.inf, gap))

    low = 0.0 if k1 == 0 else _falls_to(score, z)
    high = float("inf") if k2 == 0 else _falls_to(score, -z)
    return Interval(low, high)


def percentile_interval(values: Floats, level: float = 0.95) -> Interval:
    """Percentile limits of a metric's values (b,) in b resamples.

    nan where more than one value in twenty is nan (a class has too few patients, or too few films
    are called), and where all values agree: they would claim certainty.
    """
    defined = values[~np.isnan(values)]
    if defined.size < 0.95 * values.size or np.ptp(defined) < 1e-12:
        return UNDEFINED
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _falls_to(score: Callable[[float], float], target: float) -> float:
    """The positive number at which a falling function reaches the target, by bisection."""
    low, high = 1e-12, 1e12
    for _ in range(120):  # each step halves the range of the logarithm
        middle = (low * high) ** 0.5
        low, high = (middle, high) if score(middle) > target else (low, middle)
    return (low * high) ** 0.5
