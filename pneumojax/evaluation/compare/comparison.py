"""Several networks on the same films: each one's figures, and the tests of each pair.

Pure functions of arrays; reading and writing are in `compare.py`.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.data.films import CLASS_NAMES
from pneumojax.stats.bootstrap import resample, weighted_auroc, weighted_confusion
from pneumojax.stats.curves import weighted_average_precision
from pneumojax.stats.delong import delong_interval, delong_test
from pneumojax.stats.estimates import (
    LEVEL,
    LIKELIHOOD_RATIOS,
    RESAMPLES,
    at_prevalences,
    figure,
    json_ready,
)
from pneumojax.stats.intervals import percentile_interval
from pneumojax.stats.metrics import Floats, Ints, check_labels, check_scores, confusion
from pneumojax.stats.threshold_metrics import ClosedForm, closed_forms, mcnemar, threshold_metrics

# Of those that a network's figures hold, what is compared, in the order of the tables.
COMPARED = (
    "auroc",
    "average_precision",
    "sensitivity",
    "specificity",
    "balanced_accuracy",
    "accuracy",
    "positive_predictive_value",
    "negative_predictive_value",
    "f1_PNEUMONIA",
    "mcc",
    "brier",
)
# Likelihood ratios are told of each network only: a difference of ratios has no use.


def compare_networks(
    labels: ArrayLike,
    probabilities: Mapping[str, ArrayLike],
    calls: Mapping[str, ArrayLike],
    patients: Sequence[str] | NDArray | None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of two or more networks on n films, and of the differences, ready for JSON.

    All networks see the same resampled patients, so the intervals of differences are paired.

    Args:
      labels: (n,) of 0 and 1, at least one.
      probabilities: (n,) in [0, 1] of each network, by its name.
      calls: (n,) of 0 and 1 of each network, under the same names.
      patients: (n,) one key per film; None where unknown, then films are drawn singly.
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      "networks": by name "figures", each {"value", "low", "high", "method", "bootstrap"}, and
      "predictive_values" at `PREVALENCES`. "pairs": for each two names "differences", second
      minus first, each {"difference", "low", "high"}; "delong"; and "mcnemar" on all films and on
      those of each class, which tests accuracy, sensitivity and specificity. What is undefined is
      None.

    Raises:
      ValueError: no film, fewer than two networks, lengths differ, or a value is not allowed.
    """
    truth = check_labels(labels)
    if not truth.size or len(probabilities) < 2 or probabilities.keys() != calls.keys():
        raise ValueError("a comparison needs films and two networks, each with calls")
    scores = {name: check_scores(truth, p)[1] for name, p in probabilities.items()}
    called = {name: check_labels(c) for name, c in calls.items()}

    def figures(weights: Floats) -> dict[str, Floats]:
        return {
            f"{name} {key}": values
            for name in scores
            for key, values in _figures(truth, scores[name], called[name], weights).items()
        }

    value = {key: float(v[0]) for key, v in figures(np.ones((1, truth.size))).items()}
    units = np.arange(truth.size) if patients is None else np.asarray(patients)
    drawn = resample(figures, units, resamples=resamples, seed=seed)

    unit = "film" if patients is None else "patient"
    networks = {
        name: {
            "figures": {
                key: figure(value[f"{name} {key}"], formula, drawn[f"{name} {key}"], unit)
                for key, formula in _formulas(truth, scores[name], called[name]).items()
            },
            "predictive_values": json_ready(at_prevalences(confusion(truth, called[name]))),
        }
        for name in scores
    }
    pairs = []
    for first, second in itertools.combinations(scores, 2):
        differences = {}
        for key in COMPARED:
            one, two = f"{first} {key}", f"{second} {key}"
            limits = percentile_interval(drawn[two] - drawn[one], LEVEL)
            change = {"difference": value[two] - value[one], **limits._asdict()}
            differences[key] = json_ready(change)
        areas = delong_test(truth, scores[first], scores[second], LEVEL)
        # On one class alone the films called right are its sensitivity, or its specificity.
        kinds = {"accuracy": truth >= 0, "sensitivity": truth == 1, "specificity": truth == 0}
        pairs.append(
            {
                "first": first,
                "second": second,
                "differences": differences,
                "delong": json_ready(areas._asdict()),
                "mcnemar": {
                    key: mcnemar(truth[on], called[first][on], called[second][on])._asdict()
                    for key, on in kinds.items()
                },
            }
        )
    return {
        "n": truth.size,
        "patients": None if patients is None else len(set(units.tolist())),
        "prevalence": float(truth.mean()),
        "level": LEVEL,
        "networks": networks,
        "pairs": pairs,
        "bootstrap": {
            "unit": unit,
            "resamples": resamples,
            "seed": seed,
        },
    }


def _figures(truth: Ints, scores: Floats, calls: Ints, weights: Floats) -> dict[str, Floats]:
    """Every figure (b,) of one network under rows of weights (b, n)."""
    counted = threshold_metrics(weighted_confusion(truth, calls, weights), CLASS_NAMES)
    return {
        "auroc": weighted_auroc(truth, scores, weights),
        "average_precision": weighted_average_precision(truth, scores, weights),
        "brier": weights @ (truth - scores) ** 2 / weights.sum(axis=1),
        **{name: counted[name] for name in (*COMPARED, *LIKELIHOOD_RATIOS) if name in counted},
    }


def _formulas(truth: Ints, scores: Floats, calls: Ints) -> dict[str, ClosedForm | None]:
    """Interval in closed form and its method for each figure; None where there is none."""
    known = closed_forms(confusion(truth, calls))
    known["auroc"] = ClosedForm(delong_interval(truth, scores, LEVEL), "delong")
    return {name: known.get(name) for name in (*COMPARED, *LIKELIHOOD_RATIOS)}
