"""The films that a network gets most wrong, and those whose label may be wrong instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.report.section import Section, Table
from pneumojax.evaluation.wording import common_folder
from pneumojax.inference.decision import Decision
from pneumojax.inference.overlay import Tile, film_overlay
from pneumojax.stats.estimates import json_ready
from pneumojax.stats.metrics import Floats, Ints, check_scores

SHOWN = 6  # films of each kind
_RECORDED = ("k", "false_positives", "false_negatives", "doubtful_labels")
_MISTAKES = {"false_positives": "False positive", "false_negatives": "False negative"}


@dataclass(frozen=True)
class Film:
    """`index` is its place among the films scored; the probability is calibrated."""

    index: int
    file: str
    label: str
    probability: float


@dataclass(frozen=True)
class Kind:
    found: int
    films: Sequence[Film]


@dataclass(frozen=True)
class Failures:
    """At most k films of each kind, the most confident first.

    explained: whether the network has Grad-CAM maps.
    folder: the one that absolute paths have in common; the report shows names below it.
    overlays: the false positives and negatives under their maps, by name.
    """

    k: int
    false_positives: Kind
    false_negatives: Kind
    doubtful_labels: Kind
    positive: str = CLASS_NAMES.positive
    explained: bool = True
    folder: str = ""
    overlays: Mapping[str, Tile] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        entry = {name: value for name, value in vars(self).items() if name in _RECORDED}
        return {"failures": json_ready(entry)}

    def section(self) -> Section:
        titles = {
            "Most confident false positives": self.false_positives,
            "Most confident false negatives": self.false_negatives,
            "Labels worth another look": self.doubtful_labels,
        }
        text = [
            f"False positives: {self.false_positives.found:,}. False negatives: "
            f"{self.false_negatives.found:,}. Labels worth another look, because the network "
            f"contradicts them: {self.doubtful_labels.found:,}. The report shows at most {self.k} "
            "films of each kind, the most confident ones first."
        ]
        if self.folder:
            text.append(f"Names of films are below {self.folder!r}.")
        if self.overlays:
            text.append(
                f"The colour shows where Grad-CAM finds evidence for {self.positive}, relative to "
                "the strongest place on the same film. It shows what raised the network's output. "
                "It does not show where disease is."
            )
        if not self.explained:
            text.append(
                "This network has no feature maps, so the report has no Grad-CAM pictures and does "
                "not test whether explanations depend on the weights."
            )
        tables = [self._table(title, kind) for title, kind in titles.items() if kind.films]
        captions = {name: ": ".join(tile.lines) for name, tile in self.overlays.items()}
        return Section("Failures", text, tables, captions, layout="small")

    def pictures(self) -> Mapping[str, Tile]:
        return self.overlays

    def shown(self, film: Film) -> str:
        """The name of a film in the report."""
        return film.file.removeprefix(self.folder)

    def _table(self, title: str, kind: Kind) -> Table:
        rows = [(self.shown(film), film.label, f"{film.probability:.3f}") for film in kind.films]
        return Table((title, "label", "probability"), rows, folded=f"{title}, by name")


def audit(subject: Subject) -> Failures:
    """Finds the failures and, if the network has maps, lays each map over its film."""
    predictions, films = subject.predictions, subject.films
    found = failures(
        predictions.labels,
        predictions.logits,
        subject.decision,
        predictions.files,
        class_names=predictions.class_names,
    )
    if subject.explain is None:
        return replace(found, explained=False)
    overlays = {}
    for name, title in _MISTAKES.items():
        wrong = getattr(found, name).films
        indices = np.array([film.index for film in wrong], np.int64)
        if not indices.size:
            continue
        images = films.pixels(indices)
        _, maps = subject.explain(subject.trained.params, images)
        for i, film in enumerate(wrong):
            picture = film_overlay(images[i], maps[i], films.sizes[film.index])
            caption = f"{title}, probability {film.probability:.3f}"
            overlays[f"{name}-{i}"] = Tile(picture, (caption, found.shown(film)))
    return replace(found, overlays=overlays)


def failures(
    labels: ArrayLike,
    logits: ArrayLike,
    decision: Decision,
    files: Sequence[str],
    k: int = SHOWN,
    class_names: ClassNames = CLASS_NAMES,
) -> Failures:
    """Finds the k most confident false positives and false negatives, and k doubtful labels.

    A label is doubtful where the other class's probability is above one half and at least the mean
    that films of that class get, as in confident learning (Northcutt et al., JAIR 70:1373, 2021).
    That is a reason to look at the film again, nothing more. Few films that the network was trained
    on are found, since a network learns wrong labels too. Films of equal confidence keep their
    order.
    """
    truth, values = check_scores(labels, logits)
    if truth.size != len(files):
        raise ValueError(f"{truth.size} labels, {len(files)} files")
    probabilities = decision.probabilities(values)
    calls = decision.calls(probabilities)
    # Confidence in logits: the sigmoid rounds far-off logits to one probability.
    wrong = np.where(truth == 1, -values, values)

    def kind(of_kind: NDArray[np.bool_]) -> Kind:
        films = np.flatnonzero(of_kind)
        chosen = films[np.argsort(-wrong[films], kind="stable")][:k]
        rows = [
            Film(int(i), files[i], class_names[truth[i]], float(probabilities[i])) for i in chosen
        ]
        return Kind(int(films.size), rows)

    return Failures(
        k=k,
        positive=class_names.positive,
        false_positives=kind((calls == 1) & (truth == 0)),
        false_negatives=kind((calls == 0) & (truth == 1)),
        doubtful_labels=kind(_doubtful(truth, probabilities)),
        folder=common_folder(files),
    )


def _doubtful(truth: Ints, probabilities: Floats) -> NDArray[np.bool_]:
    """Whether each label (n,) is doubtful; none is if all films are of one class."""
    if not 0 < truth.sum() < truth.size:
        return np.zeros(truth.size, bool)
    ill, normal = probabilities[truth == 1].mean(), 1 - probabilities[truth == 0].mean()
    other = np.where(truth == 0, probabilities, 1 - probabilities)
    return (other > 0.5) & (other >= np.where(truth == 0, ill, normal))
