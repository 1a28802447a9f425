"""Metrics of films called at one threshold, their closed-form intervals, and McNemar's test.

Closed forms treat films as independent. `bootstrap.py` draws whole patients.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from numpy.typing import ArrayLike

from pneumojax.stats.intervals import UNDEFINED, Interval, koopman, wilson
from pneumojax.stats.metrics import Confusion, Floats, check_labels, ratio


class ClosedForm(NamedTuple):
    """`method` is wilson, koopman or delong."""

    interval: Interval
    method: str


@dataclass(frozen=True)
class Bounded:
    """A metric with its limits, nan where undefined; an open interval ends at infinity."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PredictiveValues:
    prevalence: float
    positive_predictive_value: Bounded
    negative_predictive_value: Bounded


class McNemar(NamedTuple):
    """The numbers of films that only one of two networks calls right, and the two-sided p-value."""

    only_first_right: int
    only_second_right: int
    p: float


def threshold_metrics(
    counted: Confusion, class_names: Sequence[str] = ("negative", "positive")
) -> dict[str, Floats]:
    """All metrics, in the shape of the counts; the names of classes end the keys of their F1."""
    metrics = {
        "accuracy": counted.accuracy,
        "sensitivity": counted.sensitivity,
        "specificity": counted.specificity,
        "balanced_accuracy": counted.balanced_accuracy,
        "positive_predictive_value": counted.precision[1],
        "negative_predictive_value": counted.precision[0],
        "positive_likelihood_ratio": counted.positive_likelihood_ratio,
        "negative_likelihood_ratio": counted.negative_likelihood_ratio,
        "mcc": counted.mcc,
        "weighted_precision": counted.weighted_precision,
        "weighted_f1": counted.weighted_f1,
    }
    return metrics | {f"f1_{name}": counted.f1[i] for i, name in enumerate(class_names)}


def closed_forms(counted: Confusion, level: float = 0.95) -> dict[str, ClosedForm]:
    """The intervals of one matrix's `threshold_metrics`, where they have a closed form.

    Shares of films get Wilson's interval. The likelihood ratios, each a ratio of two independent
    shares, get Koopman's. Balanced accuracy, F1 and MCC have none and need the bootstrap.
    """
    tn, fp, fn, tp = (int(count) for count in (counted.tn, counted.fp, counted.fn, counted.tp))
    negative, positive = tn + fp, fn + tp
    shares = {
        "accuracy": (tn + tp, negative + positive),
        "sensitivity": (tp, positive),
        "specificity": (tn, negative),
        "positive_predictive_value": (tp, tp + fp),
        "negative_predictive_value": (tn, tn + fn),
    }
    ratios = {
        "positive_likelihood_ratio": (tp, positive, fp, negative),
        "negative_likelihood_ratio": (fn, positive, tn, negative),
    }
    return {
        **{name: ClosedForm(wilson(*share, level), "wilson") for name, share in shares.items()},
        **{name: ClosedForm(koopman(*pair, level), "koopman") for name, pair in ratios.items()},
    }


def predictive_values(
    counted: Confusion, prevalence: float, level: float = 0.95
) -> PredictiveValues:
    """Predictive values among films with another share of class 1, by Bayes' rule.

    Sensitivity and specificity are assumed to stay the same. A value is nan where no film gets
    that call. The prevalence is taken as known: a predictive value is then a monotone function of
    one likelihood ratio, so Koopman's limits of the ratio give the limits of the value.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"a prevalence lies between 0 and 1, not {prevalence}")
    hits, alarms = counted.sensitivity * prevalence, (1 - counted.specificity) * (1 - prevalence)
    rests, misses = counted.specificity * (1 - prevalence), (1 - counted.sensitivity) * prevalence
    limits = closed_forms(counted, level)
    positive, negative = (
        limits[f"{sign}_likelihood_ratio"].interval for sign in ("positive", "negative")
    )
    odds = prevalence / (1 - prevalence)
    of_positive = of_negative = UNDEFINED
    if not math.isnan(positive.low):
        of_positive = Interval(*(1 - 1 / (1 + odds * limit) for limit in positive))
    if not math.isnan(negative.low):
        high, low = (1 / (1 + odds * limit) for limit in negative)
        of_negative = Interval(low, high)
    return PredictiveValues(
        prevalence,
        Bounded(float(ratio(hits, hits + alarms)), *of_positive),
        Bounded(float(ratio(rests, rests + misses)), *of_negative),
    )


def mcnemar(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Tests whether two networks' calls on the same films are equally often right.

    The test is exact. Under the null hypothesis, each film that only one network calls right is
    equally likely to be either network's, so the count is binomial with one half. On films of
    one class the test compares sensitivities or specificities. p is 1 where no call differs.
    Source: McNemar, Psychometrika 12:153 (1947), with the exact binomial tail.
    """
    truth, one, two = check_labels(labels), check_labels(first), check_labels(second)
    if not truth.size == one.size == two.size:
        raise ValueError(f"{truth.size} labels, {one.size} and {two.size} calls")
    only_first = int(((one == truth) & (two != truth)).sum())
    only_second = int(((two == truth) & (one != truth)).sum())
    n, fewer = only_first + only_second, min(only_first, only_second)
    ways, tail = 1, 0
    for k in range(fewer + 1):  # Python's integers do not overflow, so the sum is exact
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**n))
