"""A summary of a network's metrics over many perturbations, for comparing recipes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumojax.evaluation.audits.perturbations import PERTURBATIONS
from pneumojax.evaluation.report.section import Table
from pneumojax.evaluation.wording import with_limits
from pneumojax.inference.decision import Decision
from pneumojax.stats.bootstrap import resample, weighted_auroc, weighted_confusion
from pneumojax.stats.estimates import LEVEL, Limited
from pneumojax.stats.intervals import percentile_interval
from pneumojax.stats.metrics import Floats, Ints

# Another scanner, another archive or a careless crop causes such perturbations.
STRESSES = ("blur", "noise", "contrast", "jpeg", "crop")
RESAMPLES = 500
_METHOD = "patient bootstrap"
_TITLES = {
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "balanced_accuracy": "balanced accuracy",
}


@dataclass(frozen=True)
class Worst(Limited):
    perturbation: str
    level: float


@dataclass(frozen=True)
class Stress:
    """Mean and worst value of each metric over all settings, by the metric's name.

    settings: the number of settings, each of which is one perturbation at one level.
    """

    settings: int
    mean: Mapping[str, Limited]
    worst: Mapping[str, Worst]

    def table(self) -> Table:
        rows = []
        for name, title in _TITLES.items():
            worst = self.worst[name]
            where = f"{PERTURBATIONS[worst.perturbation].title}: {worst.level:g}"
            rows.append((title, with_limits(self.mean[name]), with_limits(worst), where))
        return Table(("under stress", "mean", "worst", "worst at"), rows)


def stress_summary(
    labels: Ints, logits: Mapping[tuple[str, float], Floats], decision: Decision, patients: NDArray
) -> Stress:
    """Summarises metrics over settings (a perturbation's name and level), resampling patients.

    The interval of the worst setting ignores that this setting was chosen because it is the worst.
    """
    settings = list(logits)
    calls = {s: decision.calls(decision.probabilities(logits[s])) for s in settings}

    def metrics(weights: Floats) -> dict[str, Floats]:
        counted = [weighted_confusion(labels, calls[s], weights) for s in settings]
        values = {
            "auroc": [weighted_auroc(labels, logits[s], weights) for s in settings],
            "sensitivity": [c.sensitivity for c in counted],
            "specificity": [c.specificity for c in counted],
            "balanced_accuracy": [c.balanced_accuracy for c in counted],
        }
        return {name: np.stack(columns, axis=1) for name, columns in values.items()}

    drawn = resample(metrics, patients, resamples=RESAMPLES)
    mean, worst = {}, {}
    for name, of_all in metrics(np.ones((1, labels.size))).items():
        values, place = of_all[0], int(np.argmin(of_all[0]))
        interval = percentile_interval(drawn[name].mean(1), LEVEL)
        mean[name] = Limited.of(values.mean(), interval, _METHOD)
        interval = percentile_interval(drawn[name][:, place], LEVEL)
        worst[name] = Worst(float(values[place]), *interval, _METHOD, *settings[place])
    return Stress(len(settings), mean, worst)
