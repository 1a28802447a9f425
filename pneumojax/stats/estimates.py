"""Figures with their intervals, as reports and comparisons store them.

A figure is {"value", "low", "high", "method", "bootstrap": {"low", "high"}}. The first interval is
of the method named: a closed form where there is one, else the bootstrap. None stands for what is
undefined, or infinite, for which JSON has no word.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pneumojax.stats.intervals import Interval, percentile_interval
from pneumojax.stats.metrics import Confusion, Floats
from pneumojax.stats.threshold_metrics import (
    call_intervals,
    predictive_value_intervals,
    predictive_values,
)

LEVEL = 0.95
RESAMPLES = 2000
PREVALENCES = (0.05, 0.2, 0.5)
LIKELIHOOD_RATIOS = ("positive_likelihood_ratio", "negative_likelihood_ratio")

Formula = tuple[Interval, str]


def figure(value: float, formula: Formula | None, drawn: Floats, unit: str) -> dict[str, Any]:
    """One figure from its value, its closed-form interval and method, and resampled values (b,).

    Args:
      unit: what was resampled, "patient" or "film".
    """
    bootstrap = percentile_interval(drawn, LEVEL)
    limits, method = formula or (bootstrap, f"{unit} bootstrap")
    return json_ready(
        {
            "value": float(value),
            **limits._asdict(),
            "method": method,
            "bootstrap": bootstrap._asdict(),
        }
    )


def call_formulas(counted: Confusion) -> dict[str, Formula]:
    """Closed-form interval and its method of each figure of calls that has one."""
    return {
        name: (limits, "koopman" if name in LIKELIHOOD_RATIOS else "wilson")
        for name, limits in call_intervals(counted, LEVEL).items()
    }


def at_prevalences(counted: Confusion) -> list[dict[str, Any]]:
    """Both predictive values at each of `PREVALENCES`, with Koopman's limits."""
    rows = []
    for prevalence in PREVALENCES:
        limits = predictive_value_intervals(counted, prevalence, LEVEL)
        values = predictive_values(counted, prevalence)
        row = {name: {"value": v, **limits[name]._asdict()} for name, v in values.items()}
        rows.append(json_ready({"prevalence": prevalence, **row}))
    return rows


def json_ready(value: Any) -> Any:
    """The same with NumPy's scalars and arrays as Python's, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return json_ready(value.tolist())
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
