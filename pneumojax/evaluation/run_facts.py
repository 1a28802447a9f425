"""The facts beside the metrics of a report: the run, its films, how its checkpoint was chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pneumojax.config.flat import flatten
from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.data.film_set import FilmSet
from pneumojax.evaluation.stability import Stability
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.run.film_list import read_films
from pneumojax.run.history import read_history
from pneumojax.run.provenance import read_provenance, versions
from pneumojax.run.stored_config import is_synthetic
from pneumojax.stats.estimates import json_ready

Film = tuple[int, str, str | None]  # label, pathogen, patient
_SIDES = {"train": "train", "validation": "val"}  # as films.csv and as reports name them


@dataclass(frozen=True)
class FilmCount:
    side: str
    class_name: str
    pathogen: str
    films: int
    patients: int | None


@dataclass(frozen=True)
class Flow:
    """How many films were found and left out, and how they were split.

    rejected: path and reason of each file that was left out.
    swapped: films whose names belong to the other class.
    duplicates: films that are byte-identical to another film.
    lateral: films that are lateral views by their DICOM headers.
    """

    films: Sequence[FilmCount]
    rejected: Sequence[tuple[str, str]]
    swapped: int
    duplicates: int
    audit: str
    training_prevalence: float
    lateral: int = 0


@dataclass(frozen=True)
class Selection:
    metric: str
    epochs: int
    films: int


@dataclass(frozen=True)
class OutOfFold:
    """A cross-validation; `auroc_calibrated_apart` divides by each fold's own temperature."""

    folds: int
    auroc_calibrated_apart: float
    stability: Sequence[Stability]
    auroc_by_fold: Sequence[float]


@dataclass(frozen=True)
class RunFacts:
    """The facts about a run and the films it was evaluated on.

    split, root, films: name, folder and fingerprint of the scored films.
    epoch: None for runs of early versions, which stored no epoch.
    versions: of the software that evaluates; `provenance` has those of the training.
    """

    synthetic: bool
    run: str
    split: str
    root: str
    films: str
    step: int
    epoch: int | None
    versions: Mapping[str, str]
    provenance: Mapping[str, Any]
    config: Mapping[str, Any]
    flow: Flow
    selection: Selection
    history: Sequence[Mapping[str, Any]]
    audit: Mapping[str, object]
    members: Sequence[str] | None = None
    out_of_fold: OutOfFold | None = None
    forecast: Mapping[str, Any] | None = None  # the record of `evaluation.forecast.Forecast`

    def record(self) -> dict[str, Any]:
        """The entries of metrics.json, of which the last three may be missing."""
        record = json_ready(self)
        for row in record["flow"]["films"]:
            row["class"] = row.pop("class_name")
        if not self.flow.lateral:  # earlier versions did not store it
            del record["flow"]["lateral"]
        for name in ("members", "out_of_fold", "forecast"):
            if record[name] is None:
                del record[name]
        return record


@dataclass(frozen=True)
class Overlap:
    """The audit of scored films against those trained on: one line, and every number."""

    line: str
    numbers: Mapping[str, object]


def run_facts(
    trained: TrainedRun, workdir: Path, films: FilmSet, split: str, overlap: Overlap
) -> RunFacts:
    meta, config = trained.meta, trained.config
    sides: dict[str, list[Film]] = {}
    for row in read_films(workdir):
        who = row["patient"] if row["patient_known"] == "1" else None
        film = int(row["label"]), row["pathogen"], who
        sides.setdefault(_SIDES[row["side"]], []).append(film)
    validation_films = len(sides.get("val", ()))
    training = [label for label, *_ in sides["train"]]
    if split not in sides:
        sides[split] = [
            (int(label), who.pathogen, who.patient if who.known else None)
            for label, who in zip(films.labels, films.identities, strict=True)
        ]
    return RunFacts(
        synthetic=is_synthetic(config),
        run=workdir.name,
        split=split,
        root=str(films.root),
        films=films.fingerprint,
        step=meta["step"],
        epoch=meta.get("epoch"),
        versions=versions(),
        provenance=read_provenance(workdir),
        config=flatten(config.to_dict()),
        flow=Flow(
            films=film_flow(sides, trained.class_names),
            rejected=films.rejected,
            swapped=films.contradictions,
            duplicates=len(films) - len(set(films.digests)),
            audit=overlap.line,
            training_prevalence=sum(training) / len(training),
            lateral=len(films.lateral),
        ),
        selection=Selection(config.checkpoint.best_metric, config.epochs, validation_films),
        history=read_history(workdir),
        audit=overlap.numbers,
        forecast=meta.get("forecast"),
    )


def film_flow(
    sides: Mapping[str, Sequence[Film]], class_names: ClassNames = CLASS_NAMES
) -> list[FilmCount]:
    """Counts by split, class and pathogen."""
    rows = []
    for side, films in sides.items():
        for label, pathogen in sorted({(label, pathogen) for label, pathogen, _ in films}):
            patients = [who for *kind, who in films if kind == [label, pathogen]]
            known = None if None in patients else len(set(patients))
            rows.append(FilmCount(side, class_names[label], pathogen, len(patients), known))
    return rows
