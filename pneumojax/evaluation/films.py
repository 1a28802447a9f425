"""The films that an evaluation scores, and their overlap with those that a run was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pneumojax.data.cache import FilmCache
from pneumojax.data.film_set import FilmSet
from pneumojax.data.films import FilmFolder
from pneumojax.data.leakage import audit_leakage
from pneumojax.data.naming import FilmNaming, films_field, naming_of
from pneumojax.data.patient_sources import patients_lines
from pneumojax.data.splits import configured_folder, load_configured, load_splits
from pneumojax.data.table_films import find_any_films
from pneumojax.errors import UserError
from pneumojax.evaluation.run_facts import Overlap
from pneumojax.inference.predictor import Predictor
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.run.film_list import hidden, read_films


@dataclass(frozen=True)
class FilmChoice:
    """The films that a user asks to evaluate.

    split: "train" or "val" as the run divided its films, "test", or a split of `root`. None means
        "val", or the only split of `root`, or all rows of a table.
    root: another folder or table of films.
    verify: whether to hash every film again.
    naming: how the files of `root` are named; None means as the films of the run.
    """

    split: str | None = None
    root: str | None = None
    verify: bool = False
    naming: FilmNaming | None = None

    @property
    def is_of_the_run(self) -> bool:
        return self.root is None and self.split in (None, "train", "val")


DEFAULT_FILMS = FilmChoice()


@dataclass(frozen=True)
class ChosenFilms:
    films: FilmSet
    split: str
    name: str


def choose_films(choice: FilmChoice, predictor: Predictor, cache_dir: Path) -> ChosenFilms:
    """Loads the films that are asked for; UserError if they are not those of the run any more."""
    if choice.is_of_the_run:
        if len({_fingerprints(member.meta)["validation"] for member in predictor.members}) > 1:
            raise UserError(
                "these runs were validated on different patients, so each was trained on films "
                "that another is validated on; choose the split 'test', or name other films",
                flag="workdir",
            )
        split = choice.split or "val"
        films = _films_of_the_run(split, choice, predictor.first, cache_dir)
        return ChosenFilms(films, split, split)
    config = predictor.first.config
    if choice.root is None:
        folder = configured_folder(config, cache_dir)
        _refuse_test_of_one_split(folder, choice.split)
    else:
        naming = choice.naming or naming_of(config)
        folder = find_any_films(Path(choice.root).expanduser(), "films", naming)
    split = choice.split or folder.only_split()
    cache = FilmCache(cache_dir, config.data.max_cache_gb, choice.verify)
    films = load_configured(config, folder, split, cache)
    for line in patients_lines(films, folder):
        cache.log(line)
    source = folder.table.stem if folder.table else films.root.name
    elsewhere = f"{split}-of-{source}-{films.fingerprint[:8]}"
    return ChosenFilms(films, split, split if choice.root is None else elsewhere)


def training_overlap(
    workdirs: Sequence[Path], films: FilmSet, split: str, choice: FilmChoice
) -> Overlap:
    """Audits the scored films against those that the parameters of any member have seen."""
    rows = (row for workdir in workdirs for row in read_films(workdir))
    seen = list({(r["file"], r["sha256"]): r for r in rows if r["side"] == "train"}.values())
    if choice.root is None and split == "train":
        return Overlap("audit: these are the films that the run was trained on", {})
    count = len(seen)
    scored = "scored" if split == "train" else split  # another folder may have a "train" too
    result = audit_leakage(
        {"train": np.arange(count), scored: count + np.arange(len(films))},
        [hidden(patient) for patient in [row["patient"] for row in seen] + films.patients],
        [row["patient_known"] == "1" for row in seen] + films.patients_known,
        np.concatenate([[int(row["label"]) for row in seen], films.labels]),
        [row["sha256"] for row in seen] + list(films.digests),
    )
    return Overlap(result.line(), result.as_dict())


def _refuse_test_of_one_split(folder: FilmFolder, split: str | None) -> None:
    """Raises UserError for "test" of a table without splits: all its films served the training."""
    if split == "test" and folder.table is not None and "all" in folder.splits:
        column = folder.naming.columns.split
        raise UserError(
            f"the table {folder.shown} of this run has no column {column!r}, so all its films are "
            "for training and validation. Choose the split 'val', evaluate other films "
            "(--films=<folder or table>), or add the column and train again",
            flag="split",
        )


def _films_of_the_run(
    split: str, choice: FilmChoice, trained: TrainedRun, cache_dir: Path
) -> FilmSet:
    splits = load_splits(trained.config, cache_dir, verify=choice.verify)
    name = "train" if split == "train" else "validation"
    if splits.fingerprint[name] != _fingerprints(trained.meta)[name]:
        raise UserError(
            f"{films_field(trained.config)}: the {name} films are no longer those of this run; "
            "restore them, or name their folder as other films"
        )
    films = splits.train if split == "train" else splits.validation
    if films is None:
        raise UserError(
            "this run has no validation films (config.data.val_fraction is 0); choose the split "
            "'test'",
            flag="split",
        )
    return films


def _fingerprints(meta: dict[str, Any]) -> dict[str, Any]:
    """Digests of the films of each split; UserError for a run of an early version, without any."""
    if "films" not in meta:
        raise UserError(
            "the checkpoint does not say which films it was trained and validated on; choose the "
            "split 'test', or name other films",
            flag="workdir",
        )
    return meta["films"]
