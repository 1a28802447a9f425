"""The charts of a study: its history, the importance of each field, slices and the front."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from optuna.trial import FrozenTrial, TrialState

from pneumojax.evaluation.report.style import HEIGHT, card
from pneumojax.palette import BLUE, INK, MUTED, ORANGE, PAPER
from pneumojax.tuning.objective import Objective
from pneumojax.tuning.space import Choice, Range

_MOST_CHARACTERS = 14  # of a value below a slice


def history_chart(trials: Sequence[FrozenTrial], objective: Objective, index: int) -> Figure:
    """The objective of every trial, and the best one so far; pruned trials are hollow."""
    figure, axes = card()
    axes.set(xlabel="trial", ylabel=objective.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.values]
    if pruned and objective.is_of_an_epoch:  # otherwise their values are of another figure
        axes.plot(
            [trial.number for trial in pruned],
            [trial.values[index] for trial in pruned],
            "o",
            color=MUTED,
            mfc=PAPER,
            markersize=5,
            label="stopped early",
        )
    completed = _completed(trials)
    numbers = [trial.number for trial in completed]
    values = np.array([trial.values[index] for trial in completed])
    best = (
        np.maximum.accumulate(values) if objective.is_maximised else np.minimum.accumulate(values)
    )
    axes.plot(numbers, values, "o", color=BLUE, markersize=5, label="completed")
    axes.step(numbers, best, where="post", color=ORANGE, linewidth=2.2, label="best so far")
    _legend(axes)
    return figure


def importance_chart(importances: Mapping[str, float]) -> Figure:
    """The share of each field in the variation of the objective, the largest above."""
    figure, axes = card(max(HEIGHT / 2, 0.6 + 0.3 * len(importances)))
    names = list(importances)[::-1]
    axes.barh(names, [importances[name] for name in names], color=BLUE, height=0.6)
    axes.set(xlabel="importance", xlim=(0, 1))
    axes.tick_params(axis="y", labelsize=9)
    return figure


def slice_chart(
    trials: Sequence[FrozenTrial], field: Range | Choice, objective: Objective, index: int
) -> Figure:
    """The objective of the completed trials over the values of one field."""
    figure, axes = card()
    completed = _completed(trials)
    values = [trial.values[index] for trial in completed]
    axes.set(xlabel=field.field, ylabel=objective.name)
    if isinstance(field, Choice):
        places = [field.labels.index(trial.params[field.field]) for trial in completed]
        names = [_short(str(label)) for label in field.labels]
        axes.set_xticks(range(len(names)), names, size=9, color=INK)
        axes.set_xlim(-0.5, len(names) - 0.5)
    else:
        places = [trial.params[field.field] for trial in completed]
        if field.is_log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())  # labels of every digit would overlap
    axes.plot(places, values, "o", color=BLUE, markersize=6, alpha=0.6)
    return figure


def front_chart(
    trials: Sequence[FrozenTrial], objectives: Sequence[Objective], best: Sequence[int]
) -> Figure:
    """The first two objectives of the completed trials; those that none beats are marked."""
    figure, axes = card()
    completed = _completed(trials)
    axes.set(xlabel=objectives[0].name, ylabel=objectives[1].name)
    for is_best, colour, label in ((False, BLUE, "completed"), (True, ORANGE, "not beaten")):
        chosen = [trial.values for trial in completed if (trial.number in best) == is_best]
        if chosen:
            x, y = np.array(chosen)[:, :2].T
            axes.plot(x, y, "o", color=colour, markersize=6, label=label)
    _legend(axes)
    return figure


def _completed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def _legend(axes: Axes) -> None:
    axes.legend(loc="best", frameon=False, fontsize=10, labelcolor=INK)


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
