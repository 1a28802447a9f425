"""Figures of calls, their closed-form intervals, other prevalences, and the test of two networks.

For the report of one network and the comparison of several. Closed-form intervals take films as
independent; the same figures under resampled patients are in `bootstrap.py`.
"""

import math
from typing import NamedTuple

from numpy.typing import ArrayLike

from pneumojax.data.films import CLASS_NAMES
from pneumojax.stats.intervals import UNDEFINED, Interval, koopman, wilson
from pneumojax.stats.metrics import Confusion, Floats, check_labels, ratio


class McNemar(NamedTuple):
    """Films that one network alone calls right, and the exact two-sided p-value."""

    only_first_right: int
    only_second_right: int
    p: float


def call_figures(counted: Confusion) -> dict[str, Floats]:
    """Every figure of a confusion matrix, or of b of them at once; nan where undefined."""
    figures = {
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
    return figures | {f"f1_{name}": counted.f1[i] for i, name in enumerate(CLASS_NAMES)}


def call_intervals(counted: Confusion, level: float = 0.95) -> dict[str, Interval]:
    """Intervals of those `call_figures` that have one in closed form, of one matrix.

    Wilson's for shares of films; Koopman's for the two likelihood ratios, each the ratio of two
    independent shares. The others (balanced accuracy, F1, MCC) need the bootstrap.
    """
    tn, fp, fn, tp = (int(count) for count in (counted.tn, counted.fp, counted.fn, counted.tp))
    negative, positive = tn + fp, fn + tp
    return {
        "accuracy": wilson(tn + tp, negative + positive, level),
        "sensitivity": wilson(tp, positive, level),
        "specificity": wilson(tn, negative, level),
        "positive_predictive_value": wilson(tp, tp + fp, level),
        "negative_predictive_value": wilson(tn, tn + fn, level),
        "positive_likelihood_ratio": koopman(tp, positive, fp, negative, level),
        "negative_likelihood_ratio": koopman(fn, positive, tn, negative, level),
    }


def predictive_values(counted: Confusion, prevalence: float) -> dict[str, Floats]:
    """Both predictive values where PNEUMONIA has another share and the network is the same.

    Bayes' rule; sensitivity and specificity stay. A value is nan where no film gets that call.

    Raises:
      ValueError: the prevalence is not between 0 and 1.
    """
    _check(prevalence)
    hits, alarms = counted.sensitivity * prevalence, (1 - counted.specificity) * (1 - prevalence)
    rests, misses = counted.specificity * (1 - prevalence), (1 - counted.sensitivity) * prevalence
    return {
        "positive_predictive_value": ratio(hits, hits + alarms),
        "negative_predictive_value": ratio(rests, rests + misses),
    }


def predictive_value_intervals(
    counted: Confusion, prevalence: float, level: float = 0.95
) -> dict[str, Interval]:
    """Intervals of `predictive_values` of one matrix, the prevalence taken as known.

    A predictive value at a fixed prevalence is a monotone function of one likelihood ratio, so
    its limits are that ratio's (Koopman's) carried through Bayes' rule.

    Raises:
      ValueError: the prevalence is not between 0 and 1.
    """
    _check(prevalence)
    limits = call_intervals(counted, level)
    positive, negative = (limits[f"{sign}_likelihood_ratio"] for sign in ("positive", "negative"))
    odds = prevalence / (1 - prevalence)
    result = dict.fromkeys(("positive_predictive_value", "negative_predictive_value"), UNDEFINED)
    if not math.isnan(positive.low):
        low, high = (1 - 1 / (1 + odds * limit) for limit in positive)
        result["positive_predictive_value"] = Interval(low, high)
    if not math.isnan(negative.low):
        high, low = (1 / (1 + odds * limit) for limit in negative)
        result["negative_predictive_value"] = Interval(low, high)
    return result


def mcnemar(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Whether two sets of calls on the same films are equally often right.

    Exact: among films that one alone calls right, each is as likely as the other to be it, so
    the count is binomial with one half. On films of one class only it compares sensitivities or
    specificities. The p-value is 1 where no call differs.

    Args:
      labels: (n,) of 0 and 1.
      first: (n,) calls of 0 and 1.
      second: (n,) calls of the same films in the same order.

    Source: McNemar, Psychometrika 12:153 (1947), with the exact binomial tail.

    Raises:
      ValueError: lengths differ, or a value is neither 0 nor 1.
    """
    truth, one, two = check_labels(labels), check_labels(first), check_labels(second)
    if not truth.size == one.size == two.size:
        raise ValueError(f"{truth.size} labels, {one.size} and {two.size} calls")
    only_first = int(((one == truth) & (two != truth)).sum())
    only_second = int(((two == truth) & (one != truth)).sum())
    n, fewer = only_first + only_second, min(only_first, only_second)
    ways, tail = 1, 0
    for k in range(fewer + 1):  # whole numbers of any size, so nothing is rounded on the way
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**n))


def _check(prevalence: float) -> None:
    if not 0 < prevalence < 1:
        raise ValueError(f"a prevalence lies between 0 and 1, not {prevalence}")
