"""Metrics of several networks on the same films, and tests of each pair, as pure functions."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.stats.bootstrap import weighted_auroc, weighted_confusion
from pneumojax.stats.curves import weighted_average_precision
from pneumojax.stats.delong import PairedTest, delong_interval, delong_test
from pneumojax.stats.estimates import (
    LEVEL,
    LIKELIHOOD_RATIOS,
    RESAMPLES,
    Bootstrap,
    Estimate,
    Sample,
    at_prevalences,
    sample,
)
from pneumojax.stats.intervals import percentile_interval
from pneumojax.stats.metrics import Floats, Ints, check_labels, check_scores, confusion
from pneumojax.stats.threshold_metrics import (
    ClosedForm,
    McNemar,
    PredictiveValues,
    closed_forms,
    mcnemar,
    threshold_metrics,
)

# The metrics whose differences are computed, in the order of the tables. Likelihood ratios are
# computed for each network, and have no difference.
_COMPARED = (
    "auroc",
    "average_precision",
    "sensitivity",
    "specificity",
    "balanced_accuracy",
    "accuracy",
    "positive_predictive_value",
    "negative_predictive_value",
    "f1",  # of the positive class
    "mcc",
    "brier",
)


def compared(class_names: ClassNames) -> tuple[str, ...]:
    """The names of the compared metrics, of which F1 has the name of the positive class."""
    return tuple(f"f1_{class_names.positive}" if name == "f1" else name for name in _COMPARED)


@dataclass(frozen=True)
class NetworkEstimates:
    estimates: Mapping[str, Estimate]
    predictive_values: Sequence[PredictiveValues]


@dataclass(frozen=True)
class Difference:
    """A metric of the second network minus the same of the first, with bootstrap limits."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    first: str
    second: str
    differences: Mapping[str, Difference]
    delong: PairedTest
    mcnemar: Mapping[str, McNemar]


@dataclass(frozen=True)
class Comparison:
    n: int
    patients: int | None
    prevalence: float
    level: float
    networks: Mapping[str, NetworkEstimates]
    pairs: Sequence[Pair]
    bootstrap: Bootstrap
    class_names: ClassNames

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the compared metrics, in the order of the tables."""
        return compared(self.class_names)


@dataclass(frozen=True)
class _Scored:
    labels: Ints
    probabilities: Floats
    calls: Ints
    class_names: ClassNames

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        counted = weighted_confusion(self.labels, self.calls, weights)
        found = threshold_metrics(counted, self.class_names)
        error = (self.labels - self.probabilities) ** 2
        return {
            "auroc": weighted_auroc(self.labels, self.probabilities, weights),
            "average_precision": weighted_average_precision(
                self.labels, self.probabilities, weights
            ),
            "brier": weights @ error / weights.sum(axis=1),
            **{name: found[name] for name in _of_each(self.class_names) if name in found},
        }

    def closed_forms(self) -> dict[str, ClosedForm]:
        of_auroc = delong_interval(self.labels, self.probabilities, LEVEL)
        known = closed_forms(confusion(self.labels, self.calls))
        return {**known, "auroc": ClosedForm(of_auroc, "delong")}


def compare_networks(
    labels: ArrayLike,
    probabilities: Mapping[str, ArrayLike],
    calls: Mapping[str, ArrayLike],
    patients: Sequence[str] | NDArray | None,
    *,
    resamples: int = RESAMPLES,
    class_names: ClassNames = CLASS_NAMES,
) -> Comparison:
    """Metrics of two or more networks on the same films, and the differences of each pair.

    All networks get the same resamples, so the intervals of differences are paired. Unknown
    patients are None, then films are resampled. Fewer than two networks are a ValueError.
    """
    truth = check_labels(labels)
    if not truth.size or len(probabilities) < 2 or probabilities.keys() != calls.keys():
        raise ValueError("a comparison needs films and two networks, each with calls")
    scored = {
        name: _Scored(
            truth, check_scores(truth, of_films)[1], check_labels(calls[name]), class_names
        )
        for name, of_films in probabilities.items()
    }
    units = np.arange(truth.size) if patients is None else np.asarray(patients)
    bootstrap = Bootstrap("film" if patients is None else "patient", resamples)

    def metrics(weights: Floats) -> dict[str, Floats]:
        return {
            f"{name} {metric}": values
            for name, network in scored.items()
            for metric, values in network.metrics(weights).items()
        }

    sampled = sample(metrics, units, bootstrap)
    networks = {}
    for name, network in scored.items():
        closed = network.closed_forms()
        estimates = {
            m: sampled.estimate(f"{name} {m}", closed.get(m)) for m in _of_each(class_names)
        }
        at = at_prevalences(confusion(truth, network.calls))
        networks[name] = NetworkEstimates(estimates, at)
    pairs = []
    for first, second in itertools.combinations(scored, 2):
        one, two = scored[first], scored[second]
        areas = delong_test(truth, one.probabilities, two.probabilities, LEVEL)
        # Among films of one class, the share called correctly is the sensitivity or specificity.
        films = {"accuracy": truth >= 0, "sensitivity": truth == 1, "specificity": truth == 0}
        calls_of = {
            name: mcnemar(truth[some], one.calls[some], two.calls[some])
            for name, some in films.items()
        }
        differences = _differences(first, second, sampled, class_names)
        pairs.append(Pair(first, second, differences, areas, calls_of))
    return Comparison(
        n=truth.size,
        patients=None if patients is None else len(set(units.tolist())),
        prevalence=float(truth.mean()),
        level=LEVEL,
        networks=networks,
        pairs=pairs,
        bootstrap=bootstrap,
        class_names=class_names,
    )


def _of_each(class_names: ClassNames) -> tuple[str, ...]:
    return (*compared(class_names), *LIKELIHOOD_RATIOS)


def _differences(
    first: str, second: str, sampled: Sample, class_names: ClassNames
) -> dict[str, Difference]:
    differences = {}
    for metric in compared(class_names):
        one, two = f"{first} {metric}", f"{second} {metric}"
        limits = percentile_interval(sampled.drawn[two] - sampled.drawn[one], LEVEL)
        differences[metric] = Difference(sampled.values[two] - sampled.values[one], *limits)
    return differences
