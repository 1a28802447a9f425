"""From what a network said of films to every figure of an evaluation: pure functions of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.films import CLASS_NAMES
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.evaluation.cautions import trained_on_counts
from pneumojax.inference.decision import Decision
from pneumojax.stats import metrics
from pneumojax.stats.bootstrap import resample, weighted_auroc, weighted_confusion
from pneumojax.stats.calibration import calibration_metrics, reliability
from pneumojax.stats.curves import weighted_average_precision
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.estimates import (
    LEVEL,
    RESAMPLES,
    at_prevalences,
    figure,
    json_ready,
)
from pneumojax.stats.intervals import wilson
from pneumojax.stats.metrics import Confusion, Floats, Ints
from pneumojax.stats.threshold_metrics import ClosedForm, closed_forms, threshold_metrics

# Fewer than elsewhere: each resample fits two regressions by Newton's method.
CALIBRATION_RESAMPLES = 1000


@dataclass(frozen=True)
class Predictions:
    """What a model said of n films; all fields are in one order.

    files: path of each film as it is to be named in the CSV.
    patients: key of each film's patient; read only where patients are known.
    pathogens: "bacteria", "virus", "none" (a normal film) or "unknown" of each film.
    labels: (n,) 0 for NORMAL, 1 for PNEUMONIA.
    logits: (n,) float32, finite, as the network gave them.
    trained_on: of each film "", or that the network was trained on it or on films of its patient,
      see `SeenFilms.note`.
    """

    files: Sequence[str]
    patients: Sequence[str]
    pathogens: Sequence[str]
    labels: NDArray
    logits: NDArray
    trained_on: Sequence[str]


def evaluate(
    predictions: Predictions,
    decision: Decision,
    *,
    seed: int = 0,
    patients_known: bool = True,
) -> dict[str, Any]:
    """Every figure of an evaluation, ready for JSON; see `figures.py` for what a figure is.

    Closed forms ("wilson", "koopman", "delong") take films as independent. "bootstrap" draws
    patients, and is the more honest one where they have several films; without known patients
    each film is drawn by itself and the method reads "film bootstrap".

    Args:
      predictions: at least one film.
      decision: what becomes of their logits.
      seed: of the bootstrap.
      patients_known: whether `predictions.patients` tells patients apart.

    Returns:
      Figures of calls and of ranking at the top, at the operating point; "at_half" those of calls
      at 0.5; "at_prevalences" the predictive values elsewhere; "calibration" with probabilities
      as the network gave them ("uncalibrated") and after the temperature ("calibrated").

    Raises:
      ValueError: no film, fields of different lengths, or a logit that is not finite.
    """
    n = len(predictions.labels)
    lengths = {len(field) for field in vars(predictions).values()}
    if n == 0 or lengths != {n}:
        raise ValueError(f"predictions need one length of at least 1, not {sorted(lengths)}")
    labels, logits = metrics.check_scores(predictions.labels, predictions.logits)
    calls = decision.calls(decision.probabilities(logits))
    at_half = (logits >= 0).astype(np.int64)
    patients = np.asarray(predictions.patients) if patients_known else np.arange(n)
    unit = "patient" if patients_known else "film"

    def weighted(weights: Floats) -> dict[str, Floats]:
        # Ranked by logit: the sigmoid rounds far-off logits to one probability and ties them.
        result = {
            "auroc": weighted_auroc(labels, logits, weights),
            "average_precision": weighted_average_precision(labels, logits, weights),
        }
        for place, called in (("", calls), ("half ", at_half)):
            counted = weighted_confusion(labels, called, weights)
            result |= {
                f"{place}{name}": v for name, v in threshold_metrics(counted, CLASS_NAMES).items()
            }
        return result

    values = {name: v[0] for name, v in weighted(np.ones((1, n))).items()}
    drawn = resample(weighted, patients, resamples=RESAMPLES, seed=seed)

    def of_calls(counted: Confusion, place: str) -> dict[str, Any]:
        formulas = closed_forms(counted)
        return {
            name: figure(values[place + name], formulas.get(name), drawn[place + name], unit)
            for name in threshold_metrics(counted, CLASS_NAMES)
        }

    def of_ranking(name: str) -> dict[str, Any]:
        formula = (
            ClosedForm(delong_interval(labels, logits, LEVEL), "delong")
            if name == "auroc"
            else None
        )
        return figure(values[name], formula, drawn[name], unit)

    counted, half = metrics.confusion(labels, calls), metrics.confusion(labels, at_half)
    return json_ready(
        {
            "disclaimer": DISCLAIMER,
            "n": n,
            "patients": len(set(patients)) if patients_known else None,
            "patients_known": patients_known,
            "trained_on": trained_on_counts(predictions.trained_on),
            "prevalence": labels.mean(),
            "level": LEVEL,
            "decision": decision._asdict(),
            **of_calls(counted, ""),
            "auroc": of_ranking("auroc"),
            "average_precision": of_ranking("average_precision"),
            "confusion": vars(counted),
            "by_class": _by_class(counted),
            "sensitivity_by_pathogen": _by_pathogen(predictions, labels, calls),
            "at_half": {"confusion": vars(half), **of_calls(half, "half ")},
            "at_prevalences": at_prevalences(counted),
            "calibration": {
                "uncalibrated": _calibration(labels, logits, patients, unit, seed),
                "calibrated": _calibration(
                    labels, logits / decision.temperature, patients, unit, seed
                ),
            },
            "bootstrap": {"unit": unit, "resamples": RESAMPLES, "seed": seed},
        }
    )


def _by_pathogen(predictions: Predictions, labels: Ints, calls: Ints) -> dict[str, Any]:
    """Sensitivity among the films of each pathogen that names tell."""
    result = {}
    for pathogen in sorted(set(predictions.pathogens) - {"none", "unknown"}):
        films = np.flatnonzero(labels * (np.asarray(predictions.pathogens) == pathogen))
        if films.size:
            hits = int(calls[films].sum())
            limits = wilson(hits, films.size, LEVEL)
            result[pathogen] = {
                "n": films.size,
                "value": hits / films.size,
                **limits._asdict(),
                "method": "wilson",
            }
    return result


def _calibration(
    labels: Ints, logits: Floats, patients: NDArray, unit: str, seed: int
) -> dict[str, Any]:
    """Figures of calibration with their bootstrap, and the bins of the reliability diagram."""
    values = calibration_metrics(labels, logits)
    drawn = resample(
        lambda weights: calibration_metrics(labels, logits, weights),
        patients,
        resamples=CALIBRATION_RESAMPLES,
        seed=seed,
    )
    bins = reliability(labels, metrics.probability(logits))
    return {
        **{name: figure(float(v[0]), None, drawn[name], unit) for name, v in values.items()},
        "bins": [row._asdict() | {"interval": row.interval._asdict()} for row in bins],
    }


def _by_class(counted: Confusion) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class and, as "weighted", by their supports."""
    rows = [
        {
            "class": name,
            "precision": counted.precision[i],
            "recall": counted.recall[i],
            "f1": counted.f1[i],
            "support": counted.support[i],
        }
        for i, name in enumerate(CLASS_NAMES)
    ]
    weighted = {
        "class": "weighted",
        "precision": counted.weighted_precision,
        "recall": counted.weighted_recall,
        "f1": counted.weighted_f1,
        "support": counted.n,
    }
    return [*rows, weighted]
