"""Sensitivity, specificity and AUROC of parts of the films, as numbers, a table and a chart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pneumojax.data.classes import CLASS_NAMES
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.report.style import DASHED, empty_card, tidy
from pneumojax.evaluation.wording import HEADLINE, titles, with_limits
from pneumojax.inference.decision import Decision
from pneumojax.palette import BLUE, INK, MUTED, PAPER
from pneumojax.stats.bootstrap import weighted_auroc, weighted_confusion
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.estimates import FEW, LEVEL, Bootstrap, Estimate, sample
from pneumojax.stats.metrics import Floats, Ints, check_scores, confusion
from pneumojax.stats.threshold_metrics import ClosedForm, closed_forms

_LONGEST_LABEL = 28  # characters; longer ones would leave no room for the chart


class FilmPart(NamedTuple):
    """Some of the films before they are measured.

    films: their indices.
    ranked: indices of the films over which the AUROC is taken, which may be more.
    low, high: the range of the statistic that divides the films; nan if there is none.
    one_class: whether the part has films of class 1 only by its definition.
    """

    by: str
    title: str
    name: str
    films: Ints
    ranked: Ints
    low: float = math.nan
    high: float = math.nan
    one_class: bool = False


def all_films(n: int) -> FilmPart:
    return FilmPart("all", "All", "all films", np.arange(n), np.arange(n))


@dataclass(frozen=True)
class Part:
    """The metrics of some of the films.

    low, high: the range of the statistic that divides the films; nan if there is none.
    n, normal, pneumonia: numbers of films.
    too_few: names of metrics that need a class of which the part has fewer than `FEW` films.
    """

    by: str
    title: str
    name: str
    low: float
    high: float
    n: int
    normal: int
    pneumonia: int
    too_few: Sequence[str]
    sensitivity: Estimate
    specificity: Estimate
    auroc: Estimate


def measure(
    predictions: Predictions, decision: Decision, parts: Sequence[FilmPart], bootstrap: Bootstrap
) -> list[Part]:
    """Measures each part. All parts have the same draws of the bootstrap."""
    truth, values = check_scores(predictions.labels, predictions.logits)
    called = decision.calls(decision.probabilities(values))

    def metrics(weights: Floats) -> dict[str, Floats]:
        found = {}
        for i, part in enumerate(parts):
            own, ranked = part.films, part.ranked
            counted = weighted_confusion(truth[own], called[own], weights[:, own])
            area = weighted_auroc(truth[ranked], values[ranked], weights[:, ranked])
            found[f"{i} sensitivity"] = counted.sensitivity
            found[f"{i} specificity"] = counted.specificity
            found[f"{i} auroc"] = area
        return found

    sampled = sample(metrics, predictions.units, bootstrap)
    measured = []
    for i, part in enumerate(parts):
        own, ranked = part.films, part.ranked
        area = delong_interval(truth[ranked], values[ranked], LEVEL)
        formulas = closed_forms(confusion(truth[own], called[own]), LEVEL)
        formulas["auroc"] = ClosedForm(area, "delong")
        estimates = {name: sampled.estimate(f"{i} {name}", formulas[name]) for name in HEADLINE}
        measured.append(_part(part, truth, estimates))
    return measured


def _part(part: FilmPart, truth: Ints, estimates: Mapping[str, Estimate]) -> Part:
    normal, ill = np.bincount(truth[part.films], minlength=2).tolist()
    against = int(np.sum(truth[part.ranked] == 0))
    needed = {"sensitivity": ill, "specificity": normal, "auroc": min(ill, against)}
    if part.one_class:
        del needed["specificity"]
    return Part(
        by=part.by,
        title=part.title,
        name=part.name,
        low=part.low,
        high=part.high,
        n=part.films.size,
        normal=normal,
        pneumonia=ill,
        too_few=[name for name, count in needed.items() if count < FEW],
        **estimates,
    )


def cells(part: Part) -> list[str]:
    """The three metrics of a part as text, with a * after those of too few films."""
    return [
        with_limits(each) + " *" * (name in part.too_few)
        if not math.isnan((each := getattr(part, name)).value)
        else ""
        for name in HEADLINE
    ]


def forest_chart(parts: Sequence[Part]) -> Figure:
    """The three metrics of each part with closed-form intervals. The first part has all films.

    Metrics of too few films are drawn hollow and grey. They extend an axis only if even all films
    are too few, so an arrow at its edge stands for a value that it does not reach.
    """
    heights: list[int] = []
    labels: list[str] = []
    headings = []
    for i, part in enumerate(parts):
        if i and part.title != parts[i - 1].title:
            headings.append(len(labels))
            labels.append(shortened(part.title))
        heights.append(len(labels))
        labels.append(f"{_range(part)} (n {part.n:,})")
    figure = empty_card(1.25 + 0.255 * len(labels))
    panels = figure.subplots(1, 3, sharey=True)
    beyond = False
    for axes, name in zip(panels, HEADLINE, strict=True):
        tidy(axes)
        axes.grid(visible=False, axis="y")
        axes.set_title(titles(CLASS_NAMES)[name], size=11, color=INK)
        beyond |= _forest(axes, parts, heights, name)
        axes.tick_params(axis="y", length=0)
    # Names in a table may have dollar signs, which would be read as a formula.
    panels[0].set_yticks(range(len(labels)), labels, size=10, color=INK, parse_math=False)
    panels[0].set_ylim(len(labels) - 0.4, -0.6)
    for i in headings:
        panels[0].get_yticklabels()[i].set(weight="bold", color=MUTED)
    few = f"rests on fewer than {FEW} films of a class"
    keys = [Line2D([], [], color=MUTED, marker="o", mfc=PAPER, label=few)]
    if beyond:
        further = "lies further left"
        keys.append(Line2D([], [], color=MUTED, marker="<", mfc=PAPER, ls="none", label=further))
    figure.legend(
        handles=keys,
        loc="outside upper left",
        ncols=len(keys),
        columnspacing=1.2,
        frameon=False,
        fontsize=10.5,
        labelcolor=INK,
    )
    return figure


def _range(part: Part) -> str:
    if math.isnan(part.low):
        return shortened(part.name)
    digits = 0 if part.high >= 10 else 2
    return f"{part.low:.{digits}f} to {part.high:.{digits}f}"


def shortened(text: str, most: int = _LONGEST_LABEL) -> str:
    """The text, cut to at most `most` characters; the default fits beside a chart."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _forest(axes: Axes, parts: Sequence[Part], heights: Sequence[int], name: str) -> bool:
    """Draws a metric of each part; returns whether a value lies left of the axis."""
    whole = getattr(parts[0], name).value
    if not math.isnan(whole):
        axes.axvline(whole, color=MUTED, linewidth=1, linestyle=DASHED)
    all_are_few = name in parts[0].too_few
    lowest, markers = 1.0, []
    for part, height in zip(parts, heights, strict=True):
        metric, few = getattr(part, name), name in part.too_few
        if math.isnan(metric.value):
            continue
        colour = MUTED if few else BLUE
        reach = metric.value
        if not math.isnan(metric.low):
            limits = [metric.low, metric.high]
            axes.plot(limits, [height] * 2, color=colour, linewidth=1.8, alpha=0.7)
            reach = metric.low
        face = PAPER if few else colour
        drawn = axes.plot(metric.value, height, "o", mec=colour, mfc=face, markersize=5, zorder=3)
        markers.append((metric.value, drawn))
        if all_are_few or not few:
            lowest = min(lowest, reach)
    left = np.floor(20 * (lowest - 0.01)) / 20
    axes.set_xlim(left, 1.01)
    for value, (marker,) in markers:
        marker.set_clip_on(False)  # the axes would cut a marker at 1 or at the left edge in half
        if value < left:
            marker.set(xdata=[left], marker="<")
    axes.tick_params(axis="x", labelsize=9.5)
    axes.xaxis.set_major_locator(MaxNLocator(2))
    return any(value < left for value, _ in markers)
