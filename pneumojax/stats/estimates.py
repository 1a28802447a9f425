"""Metrics with their intervals, and their form as JSON in reports and comparisons."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.stats.bootstrap import resample, weighted_auroc
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.intervals import Interval, percentile_interval, wilson
from pneumojax.stats.metrics import Confusion, Floats, auroc, check_scores
from pneumojax.stats.threshold_metrics import (
    Bounded,
    ClosedForm,
    PredictiveValues,
    predictive_values,
)

LEVEL = 0.95
RESAMPLES = 2000
# With 20 films, Wilson's interval of one half is 0.30 to 0.70. It is too wide with fewer films.
FEW = 20
PREVALENCES = (0.05, 0.2, 0.5)
LIKELIHOOD_RATIOS = ("positive_likelihood_ratio", "negative_likelihood_ratio")


@dataclass(frozen=True)
class Limited(Bounded):
    method: str

    @classmethod
    def of(cls, value: float | Floats, interval: Interval, method: str) -> "Limited":
        return cls(float(value), *interval, method)

    @classmethod
    def of_auroc(cls, labels: ArrayLike, scores: ArrayLike) -> "Limited":
        """AUROC with DeLong's interval."""
        return cls.of(auroc(labels, scores), delong_interval(labels, scores, LEVEL), "delong")


@dataclass(frozen=True)
class Share(Limited):
    """The share of n films that have a property, with Wilson's interval."""

    n: int

    @classmethod
    def count(cls, k: int, n: int) -> "Share":
        value = k / n if n else math.nan
        return cls(value, *wilson(k, n, LEVEL), "wilson", n)


@dataclass(frozen=True)
class Estimate(Limited):
    """A metric with the limits of its method, and those of the bootstrap whatever the method.

    Methods are "wilson", "koopman" and "delong" where a closed form exists, else "patient
    bootstrap" or "film bootstrap".
    """

    bootstrap: Interval


@dataclass(frozen=True)
class Bootstrap:
    """How metrics are resampled; `unit` is "patient" or "film", which is drawn as a whole."""

    unit: str
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """Metrics of all films in `values`, and of b resamples in `drawn`, each (b,)."""

    values: Mapping[str, float]
    drawn: Mapping[str, Floats]
    unit: str

    def estimate(self, name: str, closed_form: ClosedForm | None = None) -> Estimate:
        bootstrap = percentile_interval(self.drawn[name], LEVEL)
        limits, method = closed_form or (bootstrap, f"{self.unit} bootstrap")
        return Estimate(self.values[name], *limits, method, bootstrap)


def sample(
    metrics: Callable[[Floats], Mapping[str, Floats]], units: NDArray, bootstrap: Bootstrap
) -> Sample:
    """Metrics, as in `resample`, of all films and of resamples of units (n,): patients or films."""
    whole = metrics(np.ones((1, len(units))))
    drawn = resample(metrics, units, resamples=bootstrap.resamples, seed=bootstrap.seed)
    return Sample({name: float(v[0]) for name, v in whole.items()}, drawn, bootstrap.unit)


def auroc_estimate(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: Sequence[str] | NDArray | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """AUROC with DeLong's limits, and as `bootstrap` those of resampled patients.

    DeLong's treat films as independent, so with several films of a patient the bootstrap's are the
    ones to report. Without `patients` (n,) films are resampled.
    """
    truth, values = check_scores(labels, scores)
    units = np.arange(truth.size) if patients is None else np.asarray(patients)

    def weighted(weights: Floats) -> dict[str, Floats]:
        return {"auroc": weighted_auroc(truth, values, weights)}

    how = Bootstrap("film" if patients is None else "patient", resamples, seed)
    area = ClosedForm(delong_interval(truth, values, LEVEL), "delong")
    return sample(weighted, units, how).estimate("auroc", area)


def at_prevalences(counted: Confusion) -> list[PredictiveValues]:
    return [predictive_values(counted, prevalence, LEVEL) for prevalence in PREVALENCES]


def json_ready(value: Any) -> Any:
    """Plain Python types for JSON, which has no nan and no infinity: both are None.

    Dataclasses and named tuples become dicts of their fields, arrays become lists.
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
