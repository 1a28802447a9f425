"""Metrics with their intervals, and their form as JSON in reports and comparisons."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneumojax.stats.intervals import Interval, percentile_interval
from pneumojax.stats.metrics import Confusion, Floats
from pneumojax.stats.threshold_metrics import (
    ClosedForm,
    PredictiveValues,
    predictive_values,
)

LEVEL = 0.95
RESAMPLES = 2000
PREVALENCES = (0.05, 0.2, 0.5)
LIKELIHOOD_RATIOS = ("positive_likelihood_ratio", "negative_likelihood_ratio")


@dataclass(frozen=True)
class Estimate:
    """A metric and its confidence limits; nan where undefined.

    low, high: limits by `method`.
    method: "wilson", "koopman" or "delong" where a closed form exists, else "patient bootstrap"
      or "film bootstrap".
    bootstrap: limits by the bootstrap, whatever the method.
    """

    value: float
    low: float
    high: float
    method: str
    bootstrap: Interval

    def to_json(self) -> dict[str, Any]:
        """The fields by name, with None for nan and infinity."""
        return json_ready(self)


def estimate(
    value: float | Floats, closed_form: ClosedForm | None, drawn: Floats, unit: str
) -> Estimate:
    """An estimate from a metric's value and its values in b resamples.

    Args:
      value: of the metric on all films.
      closed_form: the interval to prefer to the bootstrap's, where there is one.
      drawn: (b,) the metric in each resample.
      unit: what was resampled, "patient" or "film".
    """
    bootstrap = percentile_interval(drawn, LEVEL)
    limits, method = closed_form or (bootstrap, f"{unit} bootstrap")
    return Estimate(float(value), *limits, method, bootstrap)


def at_prevalences(counted: Confusion) -> list[PredictiveValues]:
    """Both predictive values at each of `PREVALENCES`."""
    return [predictive_values(counted, prevalence, LEVEL) for prevalence in PREVALENCES]


def json_ready(value: Any) -> Any:
    """A value of plain Python types for JSON, which has no nan and no infinity: both are None.

    Dataclasses and named tuples become dicts of their fields; NumPy's arrays and scalars become
    Python's lists and numbers.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: json_ready(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return json_ready(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return json_ready(value.tolist())
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
