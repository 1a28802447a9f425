"""From logits to calibrated probabilities and calls, as fitted on a run's validation films.

A `Decision` is stored in each checkpoint and used by everything that makes a call. It is fitted
in training and nowhere else, so no film scored later can have moved it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pneumojax.stats.calibration import fit_temperature
from pneumojax.stats.metrics import Floats, Ints, call, check_scores, probability
from pneumojax.stats.thresholds import OperatingPoint, lowest_cost, sensitivity_at_least, youden

RULES = ("youden", "sensitivity", "cost")


class Decision(NamedTuple):
    """What becomes of a logit.

    rule: one of `RULES`, or "default" where nothing could be fitted: 0.5, as it is.
    temperature: divides logits; 1.0 where none could be fitted.
    threshold: calibrated probability from which a film is called PNEUMONIA.
    films: how many validation films it was fitted on.
    note: why something could not be fitted, or "".
    """

    rule: str
    temperature: float
    threshold: float
    films: int
    note: str

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Calibrated probability of PNEUMONIA (n,), float64, of logits (n,)."""
        return probability(np.asarray(logits, np.float64) / self.temperature)

    def calls(self, probabilities: ArrayLike) -> Ints:
        """Calls (n,), 1 for PNEUMONIA, of calibrated probabilities (n,)."""
        return call(probabilities, self.threshold)


def undecided(note: str) -> Decision:
    """Probabilities as the network gives them, called at 0.5."""
    return Decision("default", 1.0, 0.5, 0, note)


def fit_decision(settings: Mapping[str, Any], labels: ArrayLike, logits: ArrayLike) -> Decision:
    """The operating point and temperature that a config asks for, on validation films.

    Args:
        settings: `config.decision`, of which `config.decision.temperature` says whether to fit one.
        labels: (n,) of 0 and 1.
        logits: (n,) finite.

    Raises:
        ValueError: lengths differ, a label is neither 0 nor 1, or a logit is not finite.
    """
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
