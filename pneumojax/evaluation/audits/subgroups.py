"""Metrics of parts of the films, divided by pathogen and by width, sharpness and brightness.

Films do not tell age, sex or device, so fairness to patients cannot be judged from them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.audits.film_statistics import STATISTICS
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.report.style import DASHED, empty_card, tidy
from pneumojax.evaluation.wording import HEADLINE, TITLES, with_limits
from pneumojax.inference.decision import Decision
from pneumojax.palette import BLUE, INK, MUTED
from pneumojax.stats.bootstrap import weighted_auroc, weighted_confusion
from pneumojax.stats.calibration import equal_parts
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.estimates import LEVEL, RESAMPLES, Bootstrap, Estimate, json_ready, sample
from pneumojax.stats.metrics import Floats, Ints, check_scores, confusion
from pneumojax.stats.threshold_metrics import ClosedForm, closed_forms

DIVIDED_BY = ("width", "sharpness", "brightness")
PARTS = 4
# With 20 films Wilson's interval of one half is 0.30 to 0.70; with fewer it says too little.
FEW = 20


class _Films(NamedTuple):
    """One part of the films: its own films, and `ranked`, those over which its AUROC is taken."""

    by: str
    name: str
    films: Ints
    ranked: Ints
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Part:
    """The metrics of some of the films; the range is nan where `by` is no statistic.

    `too_few` names metrics that rest on fewer than `FEW` films of a class that they need.
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


@dataclass(frozen=True)
class Subgroups:
    """The metrics of every part, and the reason for each division that was not possible."""

    n: int
    patients: int | None
    parts: Sequence[Part]
    undivided: Mapping[str, str]
    bootstrap: Bootstrap

    def record(self) -> dict[str, Any]:
        return {"subgroups": json_ready({**vars(self), "level": LEVEL, "few": FEW})}

    def section(self) -> Section:
        rows = []
        for part in self.parts:
            cells = [
                with_limits(each) + " *" * (name in part.too_few)
                if not math.isnan((each := getattr(part, name)).value)
                else ""
                for name in HEADLINE
            ]
            limits = "" if math.isnan(part.low) else f", {part.low:.4g} to {part.high:.4g}"
            rows.append((f"{part.title}: {part.name}{limits}", f"{part.n:,}", *cells))
        text = [
            "The parts are the films of each pathogen, and quarters of the films by width, "
            "sharpness and brightness. A value marked with * rests on fewer than "
            f"{FEW} films of a class, so nothing can be concluded from it.",
            "Age and sex are unknown, so fairness to patients cannot be judged.",
        ]
        for by, why in self.undivided.items():
            what = f" {by}" if by in DIVIDED_BY else ""
            text.append(f"The films are not divided by {by}: {why}{what}.")
        table = Table(("part", "films", "sensitivity", "specificity", "AUROC"), rows)
        captions = {"subgroups": "95 % intervals by Wilson and DeLong."}
        return Section("Subgroups", text, [table], captions)

    def pictures(self) -> dict[str, Figure]:
        """A forest plot: the three metrics of each part with their closed-form intervals.

        Metrics of too few films are hollow and grey, and do not stretch the axis.
        """
        heights: list[int] = []
        labels: list[str] = []
        headings = []
        for i, part in enumerate(self.parts):
            if part.by != "all" and (i == 0 or part.title != self.parts[i - 1].title):
                headings.append(len(labels))
                labels.append(part.title)
            heights.append(len(labels))
            labels.append(f"{_range(part)} (n {part.n:,})")
        figure = empty_card(1.25 + 0.255 * len(labels))
        panels = figure.subplots(1, 3, sharey=True)
        for axes, name in zip(panels, HEADLINE, strict=True):
            tidy(axes)
            axes.grid(visible=False, axis="y")
            axes.set_title(TITLES[name], size=11, color=INK)
            _forest(axes, self.parts, heights, name)
            axes.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(labels)), labels, size=10, color=INK)
        panels[0].set_ylim(len(labels) - 0.4, -0.6)
        for i in headings:
            panels[0].get_yticklabels()[i].set(weight="bold", color=MUTED)
        few = f"rests on fewer than {FEW} films of a class"
        hollow = Line2D([], [], color=MUTED, marker="o", mfc="white", label=few)
        figure.legend(handles=[hollow], loc="outside upper left", frameon=False, fontsize=10.5)
        return {"subgroups": figure}


def audit(subject: Subject) -> Subgroups:
    return subgroups(subject.predictions, subject.decision, subject.statistics)


def subgroups(
    predictions: Predictions,
    decision: Decision,
    statistics: Mapping[str, Floats],
    *,
    resamples: int = RESAMPLES,
) -> Subgroups:
    """Computes sensitivity, specificity and AUROC of each part of n films.

    The parts are all films; the films of each pathogen; and quarters by each statistic of
    `DIVIDED_BY`, where films of one value stay together. A pathogen's AUROC compares its films
    with all normal ones, and it has no specificity. All parts have the same draws.
    """
    truth, values = check_scores(predictions.labels, predictions.logits)
    called = decision.calls(decision.probabilities(values))
    if not truth.size or truth.size != len(predictions.pathogens):
        raise ValueError(f"{truth.size} labels, {len(predictions.pathogens)} pathogens")
    divided = {name: _divide(name, statistics[name]) for name in DIVIDED_BY}
    everything = np.arange(truth.size)
    by_pathogen = _by_pathogen(truth, predictions.pathogens)
    parts = [_Films("all", "all films", everything, everything), *by_pathogen]
    parts += [part for rows in divided.values() if len(rows) > 1 for part in rows]

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

    bootstrap = Bootstrap(predictions.unit, resamples)
    sampled = sample(metrics, predictions.units, bootstrap)

    def measured(i: int, part: _Films) -> Part:
        own, ranked = part.films, part.ranked
        area = delong_interval(truth[ranked], values[ranked], LEVEL)
        formulas = closed_forms(confusion(truth[own], called[own]), LEVEL)
        formulas["auroc"] = ClosedForm(area, "delong")
        estimates = {name: sampled.estimate(f"{i} {name}", formulas[name]) for name in HEADLINE}
        return _part(part, truth, estimates)

    undivided = {name: "all films have the same" for name in DIVIDED_BY if len(divided[name]) < 2}
    if not by_pathogen:
        undivided["pathogen"] = "file names do not tell it"
    return Subgroups(
        n=truth.size,
        patients=None if predictions.patients is None else len(np.unique(predictions.units)),
        parts=[measured(i, part) for i, part in enumerate(parts)],
        undivided=undivided,
        bootstrap=bootstrap,
    )


def _by_pathogen(truth: Ints, pathogens: Sequence[str]) -> list[_Films]:
    named = np.asarray(pathogens)
    normal = np.flatnonzero(truth == 0)
    parts = []
    for name in sorted(set(named[truth == 1].tolist()) - {"none", "unknown"}):
        films = np.flatnonzero((truth == 1) & (named == name))
        parts.append(_Films("pathogen", name, films, np.union1d(films, normal)))
    return parts


def _divide(by: str, statistic: Floats) -> list[_Films]:
    """Parts of about equally many films by rising values; equal values stay together."""
    found = equal_parts(statistic, PARTS)
    names = [f"{i + 1} of {len(found)}" for i in range(len(found))]
    limits = [(float(np.min(statistic[own])), float(np.max(statistic[own]))) for own in found]
    rows = zip(names, found, limits, strict=True)
    return [_Films(by, name, own, own, *ends) for name, own, ends in rows]


def _part(part: _Films, truth: Ints, estimates: Mapping[str, Estimate]) -> Part:
    normal, ill = np.bincount(truth[part.films], minlength=2).tolist()
    against = int(np.sum(truth[part.ranked] == 0))
    needed = {"sensitivity": ill, "specificity": normal, "auroc": min(ill, against)}
    if part.by == "pathogen":
        del needed["specificity"]
    return Part(
        by=part.by,
        title=STATISTICS[part.by].title if part.by in STATISTICS else part.by.capitalize(),
        name=part.name,
        low=part.low,
        high=part.high,
        n=part.films.size,
        normal=normal,
        pneumonia=ill,
        too_few=[name for name, count in needed.items() if count < FEW],
        **estimates,
    )


def _range(part: Part) -> str:
    if math.isnan(part.low):
        return part.name
    digits = 0 if part.high >= 10 else 2
    return f"{part.low:.{digits}f} to {part.high:.{digits}f}"


def _forest(axes: Axes, parts: Sequence[Part], heights: Sequence[int], name: str) -> None:
    whole = getattr(parts[0], name).value
    if not math.isnan(whole):
        axes.axvline(whole, color=MUTED, linewidth=1, linestyle=DASHED)
    lowest = 1.0
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
        face = "white" if few else colour
        axes.plot(metric.value, height, "o", mec=colour, mfc=face, markersize=5, zorder=3)
        lowest = lowest if few else min(lowest, reach)
    axes.set_xlim(np.floor(20 * (lowest - 0.01)) / 20, 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(2))
