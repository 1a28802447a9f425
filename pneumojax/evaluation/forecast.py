"""Forecasts how a threshold does on films of a machine that it was not fitted for.

The films of one group, such as a hospital or a style, are scored by a network that was trained
without them, and called at a threshold that was fitted without them. That is what happens to a
network in a new hospital, as far as the groups at hand differ as much as hospitals do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pneumojax.evaluation.wording import with_limits
from pneumojax.inference.decision import Decision
from pneumojax.stats.estimates import Limited, Share, json_ready
from pneumojax.stats.metrics import check_scores, confusion


@dataclass(frozen=True)
class Logits:
    """Uncalibrated logits (n,) of films with their labels (n,) and groups (n,), int64 from 0.

    No film was scored by a network that was trained on it or on its patient.
    """

    labels: NDArray
    logits: NDArray
    group: NDArray


@dataclass(frozen=True)
class HeldOut:
    """One group, at a threshold that was fitted on the others."""

    name: str
    films: int
    threshold: float  # of calibrated probabilities
    auroc: Limited
    sensitivity: Share
    specificity: Share


@dataclass(frozen=True)
class Forecast:
    """The metrics to expect on a new machine: from the lowest to the highest limit of any group.

    column: the column whose groups were held out.
    sensitivity, specificity: lowest and highest limit.
    """

    column: str
    groups: tuple[HeldOut, ...]
    sensitivity: tuple[float, float]
    specificity: tuple[float, float]

    def record(self) -> dict[str, Any]:
        """The forecast as JSON values."""
        return json_ready(self)

    def lines(self) -> list[str]:
        """A line for each group, and one for the forecast."""
        found = [
            f"{group.name}, {group.films:,} films: AUROC {with_limits(group.auroc)}, "
            f"sensitivity {with_limits(group.sensitivity)}, "
            f"specificity {with_limits(group.specificity)}"
            for group in self.groups
        ]
        return [
            *found,
            f"forecast for films of another machine: sensitivity {self.sensitivity[0]:.3f} to "
            f"{self.sensitivity[1]:.3f}, specificity {self.specificity[0]:.3f} to "
            f"{self.specificity[1]:.3f}",
        ]


def forecast(
    held_out: Logits,
    column: str,
    names: Sequence[str],
    decide: Callable[[int], Decision],
) -> Forecast:
    """Calls the films of each group by a decision that saw none of them.

    Args:
        held_out: films that networks scored that were trained without the film's group.
        names: the name of each group.
        decide: the decision that is fitted without the films of a group, given the group's number.
    """
    groups = tuple(_called(held_out, i, name, decide(i)) for i, name in enumerate(names))
    return Forecast(
        column,
        groups,
        _range([group.sensitivity for group in groups]),
        _range([group.specificity for group in groups]),
    )


def _called(held_out: Logits, group: int, name: str, decision: Decision) -> HeldOut:
    chosen = held_out.group == group
    labels, logits = check_scores(held_out.labels[chosen], held_out.logits[chosen])
    counted = confusion(labels, decision.calls(decision.probabilities(logits)))
    ill = int(labels.sum())
    return HeldOut(
        name=name,
        films=len(labels),
        threshold=decision.threshold,
        auroc=Limited.of_auroc(labels, logits),
        sensitivity=Share.count(int(counted.tp), ill),
        specificity=Share.count(int(counted.tn), len(labels) - ill),
    )


def _range(shares: Sequence[Share]) -> tuple[float, float]:
    return min(share.low for share in shares), max(share.high for share in shares)
