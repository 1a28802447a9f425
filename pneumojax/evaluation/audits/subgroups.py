"""How a network does on parts of the films: by pathogen, and by what kind of picture a film is.

Films say nothing of age, sex or device, so fairness towards people cannot be told from them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.evaluation.audits.film_statistics import STATISTICS
from pneumojax.stats.bootstrap import resample, weighted_auroc, weighted_confusion
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.estimates import LEVEL, RESAMPLES, figure, json_ready
from pneumojax.stats.metrics import (
    Floats,
    Ints,
    check_labels,
    check_scores,
    confusion,
    midranks,
)
from pneumojax.stats.threshold_metrics import ClosedForm, closed_forms

DIVIDED_BY = ("width", "sharpness", "brightness")
PARTS = 4
# Wilson's interval of a half is 0.30 to 0.70 at this many films: with fewer, say nothing.
FEW = 20
FIGURES = ("sensitivity", "specificity", "auroc")


class Part(NamedTuple):
    """Some of the films: by what, which of its values, the films, and those for its AUROC."""

    by: str
    name: str
    low: float
    high: float
    films: Ints
    ranked: Ints


def subgroups(
    labels: ArrayLike,
    logits: ArrayLike,
    calls: ArrayLike,
    pathogens: Sequence[str],
    statistics: Mapping[str, Floats],
    patients: Sequence[str] | NDArray | None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Sensitivity, specificity and AUROC of each part of n films, ready for JSON.

    Parts are all films; the films of each pathogen; and quarters of the films by each statistic
    of `DIVIDED_BY`, of about equally many films, where films of one value stay together. A
    pathogen's AUROC is of its films against all normal ones, and it has no specificity.

    Args:
      labels: (n,) of 0 and 1, at least one.
      logits: (n,) finite.
      calls: (n,) of 0 and 1, at the run's operating point.
      pathogens: (n,) "bacteria", "virus", "none" or "unknown".
      statistics: (n,) each, as from `film_statistics`.
      patients: (n,) one key per film; None where unknown, then films are drawn singly.
      resamples: of the bootstrap, the same draws for all parts.
      seed: of the bootstrap.

    Returns:
      "parts": rows with "by", "name", "low" and "high" (the statistic's, None of a pathogen),
      "n", "normal", "pneumonia", each of `FIGURES` as {"value", "low", "high", "method",
      "bootstrap"}, by Wilson or DeLong and over patients, and "too_few": the figures that rest
      on fewer than `FEW` films of a class they need. "undivided": what could not be divided by,
      and why. What is undefined is None.

    Raises:
      ValueError: no film, lengths differ, or a value is not allowed.
    """
    truth, values = check_scores(labels, logits)
    called = check_labels(calls)
    if not truth.size or not truth.size == called.size == len(pathogens):
        raise ValueError(f"{truth.size} labels, {called.size} calls, {len(pathogens)} pathogens")
    divided = {name: _divide(name, statistics[name]) for name in DIVIDED_BY}
    everything = np.arange(truth.size)
    by_pathogen = _by_pathogen(truth, pathogens)
    parts = [Part("all", "all films", np.nan, np.nan, everything, everything), *by_pathogen]
    parts += [part for rows in divided.values() if len(rows) > 1 for part in rows]

    def figures(weights: Floats) -> dict[str, Floats]:
        found = {}
        for i, part in enumerate(parts):
            own, ranked = part.films, part.ranked
            counted = weighted_confusion(truth[own], called[own], weights[:, own])
            area = weighted_auroc(truth[ranked], values[ranked], weights[:, ranked])
            found[f"{i} sensitivity"] = counted.sensitivity
            found[f"{i} specificity"] = counted.specificity
            found[f"{i} auroc"] = area
        return found

    value = {name: v[0] for name, v in figures(np.ones((1, truth.size))).items()}
    units = everything if patients is None else np.asarray(patients)
    drawn = resample(figures, units, resamples=resamples, seed=seed)
    unit = "film" if patients is None else "patient"

    rows = []
    for i, part in enumerate(parts):
        own, ranked = part.films, part.ranked
        formulas = closed_forms(confusion(truth[own], called[own]))
        formulas["auroc"] = ClosedForm(
            delong_interval(truth[ranked], values[ranked], LEVEL), "delong"
        )
        results = {
            name: figure(value[f"{i} {name}"], formulas[name], drawn[f"{i} {name}"], unit)
            for name in FIGURES
        }
        rows.append({**_about(part, truth), **results})
    undivided = {name: "all films have the same" for name in DIVIDED_BY if len(divided[name]) < 2}
    if not by_pathogen:
        undivided["pathogen"] = "file names do not tell it"
    return json_ready(
        {
            "n": truth.size,
            "patients": None if patients is None else len(np.unique(units)),
            "level": LEVEL,
            "few": FEW,
            "parts": rows,
            "undivided": undivided,
            "bootstrap": {"unit": unit, "resamples": resamples, "seed": seed},
        }
    )


def _by_pathogen(truth: Ints, pathogens: Sequence[str]) -> list[Part]:
    named = np.asarray(pathogens)
    normal = np.flatnonzero(truth == 0)
    parts = []
    for name in sorted(set(named[truth == 1].tolist()) - {"none", "unknown"}):
        films = np.flatnonzero((truth == 1) & (named == name))
        parts.append(Part("pathogen", name, np.nan, np.nan, films, np.union1d(films, normal)))
    return parts


def _divide(name: str, statistic: Floats) -> list[Part]:
    """Parts of about equally many films by rising values; equal values stay together."""
    values = np.asarray(statistic, np.float64)
    index = ((midranks(values) - 0.5) * PARTS / values.size).astype(np.int64)
    found = [np.flatnonzero(index == i) for i in np.unique(index)]
    return [
        Part(
            name,
            f"{i + 1} of {len(found)}",
            float(np.min(values[own])),
            float(np.max(values[own])),
            own,
            own,
        )
        for i, own in enumerate(found)
    ]


def _about(part: Part, truth: Ints) -> dict[str, Any]:
    """What a part is and how many films each class has in it."""
    normal, ill = np.bincount(truth[part.films], minlength=2)
    against, _ = np.bincount(truth[part.ranked], minlength=2)
    needed = {"sensitivity": ill, "specificity": normal, "auroc": min(ill, against)}
    if part.by == "pathogen":
        del needed["specificity"]
    return {
        "by": part.by,
        "title": STATISTICS[part.by].title if part.by in STATISTICS else part.by.capitalize(),
        "name": part.name,
        "low": part.low,
        "high": part.high,
        "n": part.films.size,
        "normal": normal,
        "pneumonia": ill,
        "too_few": [name for name, count in needed.items() if count < FEW],
    }
