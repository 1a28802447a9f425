"""Titles of metrics, and estimates and decisions as text, for every report and table."""

import math
import os
from collections.abc import Sequence

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.inference.decision import Decision
from pneumojax.stats.calibration import COLDEST, HOTTEST
from pneumojax.stats.intervals import Interval
from pneumojax.stats.threshold_metrics import Bounded

HEADLINE = ("sensitivity", "specificity", "auroc")
_TITLES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "positive_predictive_value": "Positive predictive value",
    "negative_predictive_value": "Negative predictive value",
    "positive_likelihood_ratio": "Positive likelihood ratio",
    "negative_likelihood_ratio": "Negative likelihood ratio",
    "f1 positive": "F1 of",
    "f1 negative": "F1 of",
    "balanced_accuracy": "Balanced accuracy",
    "mcc": "Matthews correlation",
    "accuracy": "Accuracy",
}
_SHORT_TITLES = _TITLES | {
    "positive_predictive_value": "PPV",
    "negative_predictive_value": "NPV",
    "mcc": "MCC",
}
_RULES_OF_SEVERAL = {
    "out of fold": "as fitted on the films out of fold",
    "mean": "the mean of the networks' own thresholds",
}


def titles(class_names: ClassNames, *, short: bool = False) -> dict[str, str]:
    """The titles of metrics by their names, in the order of the tables; `short` ones for columns.

    The title of an F1 names its class in both forms.
    """
    named = {}
    for metric, title in (_SHORT_TITLES if short else _TITLES).items():
        if metric.startswith("f1 "):
            name = getattr(class_names, metric.removeprefix("f1 "))
            named[f"f1_{name}"] = f"{title} {name}"
        else:
            named[metric] = title
    return named


def common_folder(paths: Sequence[str]) -> str:
    """The folder that all absolute paths have in common, with a "/" at its end; "" without any."""
    folders = {os.path.dirname(path) for path in paths if os.path.isabs(path)}
    return os.path.join(os.path.commonpath(folders), "") if folders else ""


def value_of(estimate: Bounded) -> str:
    return number(estimate.value)


def limits_of(interval: Bounded | Interval) -> str:
    """An interval with three decimals; it may be open at its upper end."""
    if not math.isfinite(interval.low):
        return "no interval"
    if not math.isfinite(interval.high):
        return f"above {number(interval.low)}"
    return f"{number(interval.low)} to {number(interval.high)}"


def with_limits(estimate: Bounded) -> str:
    """The value, then the interval, as in "0.937 (0.921 to 0.950)"."""
    return f"{value_of(estimate)} ({limits_of(estimate)})"


def number(value: float) -> str:
    """Three decimals, or one for large values; "undefined" for nan and infinity."""
    if not math.isfinite(value):
        return "undefined"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def two_decimals(value: float) -> str:
    """Two decimals, or "undefined" for nan; for correlations."""
    return "undefined" if math.isnan(value) else f"{value:.2f}"


def decision_line(decision: Decision, class_names: ClassNames = CLASS_NAMES) -> str:
    line = f"called {class_names.positive} at a probability of {decision.threshold:.4g} or more"
    if decision.rule == "default":
        return f"{line} (nothing fitted: {decision.note})"
    if decision.rule in _RULES_OF_SEVERAL:
        return f"{line}: {_RULES_OF_SEVERAL[decision.rule]}"
    line += f", by the rule {decision.rule!r} on {decision.fitted_on}"
    if decision.note:
        return f"{line} ({decision.note})"
    return f"{line}, with a temperature of {temperature_of(decision)}"


def temperature_of(decision: Decision) -> str:
    """The temperature, and whether a fit that stopped at a limit might have gone further."""
    at_limit = {COLDEST: ", the lowest allowed", HOTTEST: ", the highest allowed"}
    return f"{decision.temperature:.3g}{at_limit.get(decision.temperature, '')}"
