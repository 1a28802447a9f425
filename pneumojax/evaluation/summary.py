"""The metrics of an evaluation with their intervals, as pure functions of predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pneumojax.data.classes import ClassNames
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.evaluation.predictions import Predictions, TrainedOn
from pneumojax.inference.decision import Decision
from pneumojax.stats import metrics
from pneumojax.stats.bootstrap import weighted_auroc, weighted_confusion
from pneumojax.stats.calibration import Bin, calibration_metrics, reliability
from pneumojax.stats.curves import weighted_average_precision
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.estimates import (
    FEW,
    LEVEL,
    RESAMPLES,
    Bootstrap,
    Estimate,
    Share,
    at_prevalences,
    json_ready,
    sample,
)
from pneumojax.stats.metrics import Confusion, Floats, Ints
from pneumojax.stats.threshold_metrics import (
    ClosedForm,
    PredictiveValues,
    closed_forms,
    threshold_metrics,
)

# There are fewer than elsewhere, because each resample fits two regressions by Newton's method.
CALIBRATION_RESAMPLES = 1000
MOST_BINS = 10  # of calibration
_FEWEST_IN_BIN = 5  # films; the share of class 1 among fewer is mostly chance


@dataclass(frozen=True)
class Calls:
    confusion: Confusion
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True)
class ClassMetrics:
    name: str
    precision: float
    recall: float
    f1: float
    support: int

    def record(self) -> dict[str, Any]:
        """Stored under "class" instead of `name`."""
        return {"class" if key == "name" else key: value for key, value in vars(self).items()}


@dataclass(frozen=True)
class Calibration:
    estimates: Mapping[str, Estimate]
    bins: Sequence[Bin]


@dataclass(frozen=True)
class Summary:
    """Every metric of an evaluation: at the decision and, `at_half`, at a probability of 0.5."""

    n: int
    patients: int | None
    trained_on: TrainedOn
    prevalence: float
    decision: Decision
    calls: Calls
    auroc: Estimate
    average_precision: Estimate
    by_class: Sequence[ClassMetrics]
    sensitivity_by_pathogen: Mapping[str, Share]
    at_half: Calls
    at_prevalences: Sequence[PredictiveValues]
    uncalibrated: Calibration
    calibrated: Calibration
    bootstrap: Bootstrap
    class_names: ClassNames

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """The metrics at the operating point and those of the ranking, by name."""
        ranking = {"auroc": self.auroc, "average_precision": self.average_precision}
        return {**self.calls.estimates, **ranking}

    @property
    def few_films_warning(self) -> str:
        """The warning that a class has too few films for a conclusion; "" if none has."""
        few = [f"of {row.name} ({row.support:,})" for row in self.by_class[:2] if row.support < FEW]
        if not few:
            return ""
        return (
            f"warning: fewer than {FEW} films {' and '.join(few)} were scored. Metrics that "
            "depend on them support no conclusion"
        )

    def record(self) -> dict[str, Any]:
        sides = {"uncalibrated": self.uncalibrated, "calibrated": self.calibrated}
        return json_ready(
            {
                "disclaimer": DISCLAIMER,
                "n": self.n,
                "patients": self.patients,
                "patients_known": self.patients is not None,
                "trained_on": self.trained_on,
                "prevalence": self.prevalence,
                "level": LEVEL,
                "decision": self.decision,
                **self.estimates,
                "confusion": self.calls.confusion,
                "by_class": [row.record() for row in self.by_class],
                "sensitivity_by_pathogen": self.sensitivity_by_pathogen,
                "at_half": {"confusion": self.at_half.confusion, **self.at_half.estimates},
                "at_prevalences": self.at_prevalences,
                "calibration": {
                    name: {**side.estimates, "bins": side.bins} for name, side in sides.items()
                },
                "bootstrap": self.bootstrap,
            }
        )


def summarise(predictions: Predictions, decision: Decision, *, seed: int = 0) -> Summary:
    """Computes every metric of an evaluation with its intervals.

    Closed forms ("wilson", "koopman", "delong") treat films as independent. The bootstrap draws
    patients, which is right if they have several films. If patients are unknown it draws films, and
    its method reads "film bootstrap".
    """
    n = len(predictions.labels)
    class_names = predictions.class_names
    of_films = {name: of for name, of in vars(predictions).items() if name != "class_names"}
    lengths = {len(field) for field in of_films.values() if field is not None}
    if n == 0 or lengths != {n}:
        raise ValueError(f"predictions need one length of at least 1, not {sorted(lengths)}")
    labels, logits = metrics.check_scores(predictions.labels, predictions.logits)
    calls = decision.calls(decision.probabilities(logits))
    called = {"": calls, "half ": (logits >= 0).astype(np.int64)}

    def weighted(weights: Floats) -> dict[str, Floats]:
        # Films are ranked by logit: the sigmoid rounds extreme logits to equal probabilities.
        result = {
            "auroc": weighted_auroc(labels, logits, weights),
            "average_precision": weighted_average_precision(labels, logits, weights),
        }
        for place, of_place in called.items():
            counted = threshold_metrics(weighted_confusion(labels, of_place, weights), class_names)
            result |= {place + name: value for name, value in counted.items()}
        return result

    bootstrap = Bootstrap(predictions.unit, RESAMPLES, seed)
    sampled = sample(weighted, predictions.units, bootstrap)

    def calls_at(place: str) -> Calls:
        counted = metrics.confusion(labels, called[place])
        formulas = closed_forms(counted, LEVEL)
        names = threshold_metrics(counted, class_names)
        of_each = {name: sampled.estimate(place + name, formulas.get(name)) for name in names}
        return Calls(counted, of_each)

    area = ClosedForm(delong_interval(labels, logits, LEVEL), "delong")
    at_operating_point = calls_at("")
    counted = at_operating_point.confusion
    return Summary(
        n=n,
        patients=None if predictions.patients is None else len(set(predictions.patients)),
        trained_on=TrainedOn.count(predictions.trained_on),
        prevalence=float(labels.mean()),
        decision=decision,
        calls=at_operating_point,
        auroc=sampled.estimate("auroc", area),
        average_precision=sampled.estimate("average_precision"),
        by_class=_by_class(counted, class_names),
        sensitivity_by_pathogen=_by_pathogen(predictions.pathogens, labels, calls),
        at_half=calls_at("half "),
        at_prevalences=at_prevalences(counted),
        uncalibrated=_calibration(labels, logits, predictions, seed),
        calibrated=_calibration(labels, logits / decision.temperature, predictions, seed),
        bootstrap=bootstrap,
        class_names=class_names,
    )


def _by_pathogen(pathogens: Sequence[str], labels: Ints, calls: Ints) -> dict[str, Share]:
    result = {}
    for pathogen in sorted(set(pathogens) - {"none", "unknown"}):
        films = np.flatnonzero(labels * (np.asarray(pathogens) == pathogen))
        if films.size:
            result[pathogen] = Share.count(int(calls[films].sum()), films.size)
    return result


def bins_for(films: int) -> int:
    """The number of bins into which calibration divides films: fewer if there are few films."""
    return min(MOST_BINS, max(1, films // _FEWEST_IN_BIN))


def _calibration(labels: Ints, logits: Floats, predictions: Predictions, seed: int) -> Calibration:
    bins = bins_for(len(labels))
    sampled = sample(
        lambda weights: calibration_metrics(labels, logits, weights, bins),
        predictions.units,
        Bootstrap(predictions.unit, CALIBRATION_RESAMPLES, seed),
    )
    estimates = {name: sampled.estimate(name) for name in sampled.values}
    return Calibration(estimates, reliability(labels, metrics.probability(logits), bins))


def _by_class(counted: Confusion, class_names: ClassNames) -> list[ClassMetrics]:
    columns = zip(
        (*class_names, "weighted"),
        (*counted.precision, counted.weighted_precision),
        (*counted.recall, counted.weighted_recall),
        (*counted.f1, counted.weighted_f1),
        (*counted.support, counted.n),
        strict=True,
    )
    return [
        ClassMetrics(name, float(p), float(r), float(f1), int(n)) for name, p, r, f1, n in columns
    ]
