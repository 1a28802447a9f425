"""Where the evidence of Grad-CAM lies: films under their maps, and its share inside the thorax.

A network that reads the lungs has most of its evidence inside the thorax. A map that is spread
evenly over the film has the thorax's share of the film's area there, so that is chance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.audits.robustness import sample_films
from pneumojax.evaluation.audits.thorax import find_thorax
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.wording import common_folder, number, with_limits
from pneumojax.inference.overlay import Tile, film_overlay
from pneumojax.stats.estimates import Bootstrap, Estimate, json_ready, sample
from pneumojax.stats.intervals import UNDEFINED
from pneumojax.stats.metrics import Floats, Ints

MOST_FILMS = 128  # a map costs little more than a forward pass
_SHOWN = 3  # films of each class in the report


@dataclass(frozen=True)
class FilmEvidence:
    """The evidence on n films; each field is (n,).

    has_map: whether anything on the film is evidence for the positive class.
    shares: the share of the evidence that lies inside the thorax; nan without a map or a thorax.
    areas: the share of the film's area that is thorax; nan if no thorax was found.
    """

    has_map: NDArray[np.bool_]
    shares: Floats
    areas: Floats


@dataclass(frozen=True)
class ClassEvidence:
    """The evidence on films of one class.

    films: how many were looked at.
    without_map: films on which nothing is evidence for the positive class.
    without_thorax: films with a map on which no thorax was found.
    share: the mean share of a film's evidence that lies inside the thorax, over the other films.
    area: the mean share of those films' area that is thorax, which is chance.
    """

    name: str
    films: int
    without_map: int
    without_thorax: int
    share: Estimate
    area: float


@dataclass(frozen=True)
class Evidence:
    """The evidence of each class, and pictures of some films of each."""

    classes: Sequence[ClassEvidence]
    bootstrap: Bootstrap
    overlays: Mapping[str, Tile] = field(default_factory=dict)
    class_names: ClassNames = CLASS_NAMES

    def record(self) -> dict[str, Any]:
        entry = {"classes": self.classes, "bootstrap": self.bootstrap}
        return {"evidence": json_ready(entry)}

    def section(self) -> Section:
        rows = [
            (
                row.name,
                f"{row.films}",
                f"{row.without_map}",
                f"{row.without_thorax}",
                with_limits(row.share),
                number(row.area),
            )
            for row in self.classes
        ]
        positive = self.class_names.positive
        text = [
            f"The colour shows where Grad-CAM finds evidence for {positive}, relative to the "
            f"strongest place on the same film. Films that are called {self.class_names.negative} "
            "have such a map too. A map shows what raised the network's output. It does not show "
            "where disease is.",
            "The table has the mean share of a film's evidence that lies inside the thorax. A map "
            "without any preference would have the share in the last column. The thorax is found "
            "by templates of frontal films, which fails on some films. Intervals resample "
            f"{self.bootstrap.unit}s.",
        ]
        headings = ("films of", "films", "without a map", "thorax not found")
        table = Table((*headings, "evidence inside the thorax", "share of the area"), rows)
        captions = {name: ". ".join(tile.lines) for name, tile in self.overlays.items()}
        return Section("Explanations", text, [table], captions, layout="small")

    def pictures(self) -> Mapping[str, Tile]:
        return self.overlays


def audit(subject: Subject) -> Evidence | None:
    """Maps a sample of the films. Returns None for a network without maps."""
    if subject.explain is None:
        return None
    chosen = sample_films(subject.films.labels, MOST_FILMS)
    films, predictions = subject.films.select(chosen), subject.predictions
    images = films.pixels(np.arange(len(films)))
    _, maps = subject.explain(subject.trained.params, images)
    found = evidence_in_thorax(images, np.asarray(maps))
    names, bootstrap = predictions.class_names, Bootstrap(predictions.unit)
    units = predictions.units[chosen]
    classes = evidence_by_class(films.labels, found, units, bootstrap, names)
    probabilities = subject.decision.probabilities(predictions.logits[chosen])
    shown = [i for c in (0, 1) for i in np.flatnonzero(films.labels == c)[:_SHOWN].tolist()]
    overlays, folder = {}, common_folder(predictions.files)
    for place, i in enumerate(shown):
        picture = film_overlay(images[i], maps[i], films.sizes[i])
        label = names[films.labels[i]]
        lines = (
            f"{label}, probability {probabilities[i]:.3f}",
            _told(found.shares[i]),
            films.paths[i].removeprefix(folder),
        )
        overlays[f"evidence-{place}"] = Tile(picture, lines)
    return Evidence(classes, bootstrap, overlays, names)


def evidence_in_thorax(images: NDArray[np.uint8], maps: NDArray[np.float32]) -> FilmEvidence:
    """Measures maps (n, h, w) of images (n, h, w)."""
    shares, areas = np.full(len(images), np.nan), np.full(len(images), np.nan)
    totals = maps.sum(axis=(1, 2), dtype=np.float64)
    for i, thorax in enumerate(find_thorax(images)):
        if thorax is not None:
            areas[i] = thorax.mean()
            if totals[i]:
                shares[i] = maps[i][thorax].sum(dtype=np.float64) / totals[i]
    return FilmEvidence(totals > 0, shares, areas)


def evidence_by_class(
    labels: Ints, found: FilmEvidence, units: NDArray, bootstrap: Bootstrap, names: ClassNames
) -> list[ClassEvidence]:
    """Mean shares of the films of each class; units (n,) are the patients that are resampled."""
    classes = []
    for c, name in enumerate(names):
        own = labels == c
        measured = own & ~np.isnan(found.shares)
        classes.append(
            ClassEvidence(
                name=name,
                films=int(own.sum()),
                without_map=int((own & ~found.has_map).sum()),
                without_thorax=int((own & found.has_map & np.isnan(found.areas)).sum()),
                share=_mean(found.shares[measured], units[measured], bootstrap),
                area=float(found.areas[measured].mean()) if measured.any() else math.nan,
            )
        )
    return classes


def _mean(values: Floats, units: NDArray, bootstrap: Bootstrap) -> Estimate:
    if not values.size:
        return Estimate(math.nan, *UNDEFINED, f"{bootstrap.unit} bootstrap", UNDEFINED)

    def weighted(weights: Floats) -> dict[str, Floats]:
        return {"mean": weights @ values / weights.sum(axis=1)}

    return sample(weighted, units, bootstrap).estimate("mean")


def _told(share: float) -> str:
    if math.isnan(share):
        return "no evidence, or no thorax found"
    return f"{share:.0%} of the evidence inside the thorax"
