"""One network under many stresses at once: what candidates are compared by, beside the hold-out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumojax.inference.decision import Decision
from pneumojax.stats.bootstrap import resample, weighted_auroc, weighted_confusion
from pneumojax.stats.estimates import LEVEL, json_ready
from pneumojax.stats.intervals import percentile_interval
from pneumojax.stats.metrics import Floats, Ints

# Of the perturbations, those that another scanner, another hospital's archive or a careless crop
# bring about.
STRESSES = ("blur", "noise", "contrast", "jpeg", "crop")
RESAMPLES = 500
_FIGURES = ("auroc", "sensitivity", "specificity", "balanced_accuracy")


def stress_summary(
    labels: Ints,
    logits: Mapping[tuple[str, float], Floats],
    decision: Decision,
    patients: NDArray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean and worst figures over settings, each with an interval by resampling patients.

    Args:
      labels: (n,) of 0 and 1.
      logits: (n,) for each setting, a perturbation's name and level.
      decision: films are called at its operating point, the one of films as they are.
      patients: (n,) key of each film's.

    Returns:
      "settings", their number; "mean" and "worst", each with "auroc", "sensitivity",
      "specificity" and "balanced_accuracy". The worst has its setting's name and level; its
      interval is that of this setting, chosen for being worst.
    """
    settings = list(logits)
    calls = {s: decision.calls(decision.probabilities(logits[s])) for s in settings}

    def figures(weights: Floats) -> dict[str, Floats]:
        """Each (b, settings)."""
        counted = [weighted_confusion(labels, calls[s], weights) for s in settings]
        values = {
            "auroc": [weighted_auroc(labels, logits[s], weights) for s in settings],
            "sensitivity": [c.sensitivity for c in counted],
            "specificity": [c.specificity for c in counted],
            "balanced_accuracy": [c.balanced_accuracy for c in counted],
        }
        return {name: np.stack(columns, axis=1) for name, columns in values.items()}

    values = {name: v[0] for name, v in figures(np.ones((1, labels.size))).items()}
    drawn = resample(figures, patients, resamples=resamples, seed=seed)

    def with_interval(value: float, sample: Floats) -> dict[str, Any]:
        limits = percentile_interval(sample, LEVEL)
        return {"value": value, **limits._asdict(), "method": "patient bootstrap"}

    def worst(name: str) -> dict[str, Any]:
        place = int(np.argmin(values[name]))
        perturbation, level = settings[place]
        return {
            **with_interval(values[name][place], drawn[name][:, place]),
            "perturbation": perturbation,
            "level": level,
        }

    return json_ready(
        {
            "settings": len(settings),
            "mean": {
                name: with_interval(values[name].mean(), drawn[name].mean(1)) for name in _FIGURES
            },
            "worst": {name: worst(name) for name in _FIGURES},
        }
    )
