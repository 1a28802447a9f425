"""The decision rule: logits -> calibrated probabilities -> calls.

A `Decision` is fitted on a run's validation films and on no others, so that films scored later
cannot influence it. It is stored with the run, and every call is made by it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pneumojax.stats.calibration import fit_temperature
from pneumojax.stats.metrics import Floats, Ints, call, check_scores, probability
from pneumojax.stats.thresholds import OperatingPoint, lowest_cost, sensitivity_at_least, youden


class Decision(NamedTuple):
    """A temperature for logits and a threshold for probabilities.

    rule: one of the config's rules, "worst_case" for a published network, "mean" or "out of fold"
        for an ensemble, or "default" if nothing could be fitted (0.5 and no temperature).
    """

    rule: str
    temperature: float  # divides logits; 1.0 if none could be fitted
    threshold: float  # calibrated probability from which a film is called PNEUMONIA
    films: int  # the number of validation films that it was fitted on
    note: str  # why something could not be fitted, or ""

    @property
    def fitted_on(self) -> str:
        """The films that threshold and temperature were fitted on, in words."""
        unit = "scores of several kinds" if self.rule == "worst_case" else "validation films"
        return f"{self.films:,} {unit}"

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Logits (n,) -> calibrated probabilities of PNEUMONIA (n,), float64."""
        return probability(np.asarray(logits, np.float64) / self.temperature)

    def calls(self, probabilities: ArrayLike) -> Ints:
        """Calibrated probabilities (n,) -> calls (n,), 1 for PNEUMONIA."""
        return call(probabilities, self.threshold)


def undecided(note: str) -> Decision:
    """The decision of a run without usable validation films: uncalibrated, called at 0.5."""
    return Decision("default", 1.0, 0.5, 0, note)


def fit_decision(settings: Mapping[str, Any], labels: ArrayLike, logits: ArrayLike) -> Decision:
    """Fits the operating point and temperature of `config.decision` on validation films."""
    truth, values = check_scores(labels, logits)
    if len(set(truth.tolist())) < 2:
        return undecided("validation holds films of one class only")
    temperature = fit_temperature(truth, values) if settings["temperature"] else 1.0
    note = ""
    if np.isnan(temperature):
        temperature = 1.0
        note = "no temperature: no validation film is on the wrong side of a probability of 0.5"
    point = _point(settings, truth, values)
    threshold = float(probability(point.logit / temperature))
    return Decision(settings["rule"], temperature, threshold, truth.size, note)


def _point(settings: Mapping[str, Any], labels: Ints, logits: Floats) -> OperatingPoint:
    if settings["rule"] == "sensitivity":
        return sensitivity_at_least(labels, logits, settings["min_sensitivity"])
    if settings["rule"] == "cost":
        return lowest_cost(labels, logits, settings["cost_ratio"])
    return youden(labels, logits)
