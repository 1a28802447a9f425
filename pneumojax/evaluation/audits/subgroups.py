"""Metrics of parts of the films, divided by pathogen, width, sharpness and brightness.

These are known from the films and their names. `metadata.py` divides films by columns of a table.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pneumojax.data.film_statistics import STATISTICS
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.audits.parts import (
    FilmPart,
    Part,
    all_films,
    cells,
    forest_chart,
    measure,
)
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.inference.decision import Decision
from pneumojax.stats.calibration import equal_parts
from pneumojax.stats.estimates import FEW, LEVEL, RESAMPLES, Bootstrap, json_ready
from pneumojax.stats.metrics import Floats, Ints, check_scores

DIVIDED_BY = ("width", "sharpness", "brightness")
PARTS = 4


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
            limits = "" if math.isnan(part.low) else f", {part.low:.4g} to {part.high:.4g}"
            name = f"{part.title}: {part.name}{limits}"
            rows.append((name, f"{part.n:,}", *cells(part)))
        text = [
            "The parts are the films of each pathogen, and quarters of the films by width, "
            "sharpness and brightness. A value marked with * rests on fewer than "
            f"{FEW} films of a class and supports no conclusion.",
        ]
        if self.undivided:
            reasons = [
                f"by {by} ({why}{f' {by}' if by in DIVIDED_BY else ''})"
                for by, why in self.undivided.items()
            ]
            text.append(f"The films are not divided {', nor '.join(reasons)}.")
        headings = ("part", "films", "sensitivity", "specificity", "AUROC")
        table = Table(headings, rows, folded="The metrics of each part")
        captions = {"subgroups": "95 % intervals by Wilson and DeLong."}
        return Section("Subgroups", text, [table], captions)

    def pictures(self) -> dict[str, Figure]:
        return {"subgroups": forest_chart(self.parts)}


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

    The parts are all films, the films of each pathogen, and quarters by each statistic of
    `DIVIDED_BY`. Films that have the same value stay together. A pathogen's AUROC compares its
    films with all normal films, and a pathogen has no specificity.
    """
    truth, _ = check_scores(predictions.labels, predictions.logits)
    if not truth.size or truth.size != len(predictions.pathogens):
        raise ValueError(f"{truth.size} labels, {len(predictions.pathogens)} pathogens")
    divided = {name: _divide(name, statistics[name]) for name in DIVIDED_BY}
    by_pathogen = _by_pathogen(truth, predictions.pathogens)
    parts = [all_films(truth.size), *by_pathogen]
    parts += [part for rows in divided.values() if len(rows) > 1 for part in rows]
    bootstrap = Bootstrap(predictions.unit, resamples)
    undivided = {name: "all films have the same" for name in DIVIDED_BY if len(divided[name]) < 2}
    if not by_pathogen:
        undivided["pathogen"] = "file names do not tell it"
    return Subgroups(
        n=truth.size,
        patients=None if predictions.patients is None else len(np.unique(predictions.units)),
        parts=measure(predictions, decision, parts, bootstrap),
        undivided=undivided,
        bootstrap=bootstrap,
    )


def _by_pathogen(truth: Ints, pathogens: Sequence[str]) -> list[FilmPart]:
    named = np.asarray(pathogens)
    normal = np.flatnonzero(truth == 0)
    parts = []
    for name in sorted(set(named[truth == 1].tolist()) - {"none", "unknown"}):
        films = np.flatnonzero((truth == 1) & (named == name))
        ranked = np.union1d(films, normal)
        parts.append(FilmPart("pathogen", "Pathogen", name, films, ranked, one_class=True))
    return parts


def _divide(by: str, statistic: Floats) -> list[FilmPart]:
    """Parts of about equally many films in order of the statistic; equal values stay together."""
    found = equal_parts(statistic, PARTS)
    names = [f"{i + 1} of {len(found)}" for i in range(len(found))]
    limits = [(float(np.min(statistic[own])), float(np.max(statistic[own]))) for own in found]
    rows = zip(names, found, limits, strict=True)
    title = STATISTICS[by].title
    return [FilmPart(by, title, name, own, own, *ends) for name, own, ends in rows]
