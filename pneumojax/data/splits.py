"""Loads the films that a config names: training and validation films, or any one split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from pneumojax.config.check import wrong_value
from pneumojax.config.rules import NAMED_SETS
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.column_groups import group_films
from pneumojax.data.film_set import FilmSet
from pneumojax.data.films import FilmFolder, find_films
from pneumojax.data.hold_out import divide_by_group, divide_into_folds, hold_out
from pneumojax.data.leakage import LeakageAudit, audit_leakage
from pneumojax.data.named_sets import resolve_root
from pneumojax.data.naming import naming_of
from pneumojax.data.patient_sources import patients_lines
from pneumojax.data.table_films import find_table_films
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.terminal import say


@dataclass(frozen=True)
class Splits:
    """The films to train on and to validate on, and the audit of what they share."""

    train: FilmSet
    validation: FilmSet | None  # None in a run without validation
    audit: LeakageAudit

    @property
    def fingerprint(self) -> dict[str, str]:
        """16 hex digits of the paths and contents of each split; "" without validation."""
        validation = self.validation.fingerprint if self.validation else ""
        return {"train": self.train.fingerprint, "validation": validation}

    @property
    def rejected(self) -> list[tuple[str, str]]:
        """Path and reason of each file that is not a readable film."""
        if self.validation is None or self.validation.split == self.train.split:
            return self.train.rejected
        return self.train.rejected + self.validation.rejected


def preprocessing_of(config: ConfigDict) -> Preprocessing:
    """The preprocessing that a config asks for, checked."""
    return Preprocessing(config.data.image_size, config.data.resize, config.data.reduced_decode)


def load_splits(
    config: ConfigDict,
    cache_dir: Path,
    *,
    verify: bool = False,
    log: Callable[[str], None] = say,
) -> Splits:
    """Loads the training split and divides it, or loads the shipped validation, as configured.

    Raises:
        UserError: films are missing, unreadable or of one class only.
    """
    folder = configured_folder(config, cache_dir)
    cache = FilmCache(cache_dir, config.data.max_cache_gb, verify, log)
    films = load_configured(config, folder, "train", cache)
    for line in patients_lines(films, folder):
        cache.log(line)
    if len(present := np.unique(films.labels)) < 2:
        raise UserError(
            f"{folder.named_by}: train of {folder.shown} holds only "
            f"{folder.naming.classes.names[present[0]]} films; a network needs both classes to "
            "learn from"
        )
    if config.data.val == "folder":
        shipped = load_configured(config, folder, "val", cache)
        if len(present := np.unique(shipped.labels)) < 2:
            raise UserError(
                f"config.data.val: val of {folder.shown} holds only "
                f"{folder.naming.classes.names[present[0]]} films, which cannot choose between "
                "epochs; use 'patients'"
            )
        return _with_audit(films, shipped)
    if folder.table is not None and "val" in folder.splits:
        cache.log(
            "note: the val rows of the table are not used, because config.data.val is 'patients'; "
            "'folder' validates on them"
        )
    chosen = _validation(films, config)
    return _with_audit(films.select(~chosen), films.select(chosen) if chosen.any() else None)


def configured_folder(config: ConfigDict, cache_dir: Path) -> FilmFolder:
    """Lists the films of `config.data.table`, or else of `config.data.root`.

    A named set is drawn or fetched first if need be.
    """
    data, naming = config.data, naming_of(config)
    if data.table:
        root = None if data.root in NAMED_SETS else Path(data.root)
        return find_table_films(Path(data.table), root, "config.data.table", naming)
    return find_films(resolve_root(data.root, cache_dir), naming=naming)


def load_configured(
    config: ConfigDict, folder: FilmFolder, split: str, cache: FilmCache
) -> FilmSet:
    """Loads one split with the preprocessing and tolerance of a config; raises as `load_split`."""
    return load_split(
        folder,
        split,
        preprocessing_of(config),
        cache,
        max_rejected_fraction=config.data.max_rejected_fraction,
    )


def _validation(films: FilmSet, config: ConfigDict) -> np.ndarray:
    """bool (n,): the films to validate on, one fold or the hold-out."""
    if config.data.folds == 0:
        who = films.patients, films.labels, films.digests
        column = config.data.stratify
        strata = _groups(films, "stratify", column) if column else None
        return hold_out(*who, config.data.val_fraction, config.data.split_seed, strata)
    return _folds(films, config) == config.data.fold


def _folds(films: FilmSet, config: ConfigDict) -> np.ndarray:
    """int64 (n,): each film's fold, from 0."""
    data = config.data
    who = films.patients, films.labels, films.digests
    if not data.fold_by:
        strata = _groups(films, "stratify", data.stratify) if data.stratify else None
        return divide_into_folds(*who, data.folds, data.split_seed, strata)
    group_of = _groups(films, "fold_by", data.fold_by)
    count = int(group_of.max()) + 1
    if count != data.folds:
        rule = f"column {data.fold_by!r} has {count} groups, and each is a fold: use {count}"
        raise UserError(wrong_value("data.folds", data.folds, rule))
    return divide_by_group(*who, group_of)


def _groups(films: FilmSet, field: str, column: str) -> np.ndarray:
    """int64 (n,): each film's group in a column that `config.data.<field>` names."""
    if column not in films.columns:
        names = ", ".join(map(repr, films.columns)) or "none"
        rule = f"use a column of the table or of data.dicom_metadata; the films have {names}"
        raise UserError(wrong_value(f"data.{field}", column, rule))
    groups = group_films(column, films.columns[column])
    if groups.reason:
        raise UserError(wrong_value(f"data.{field}", column, f"{groups.reason}; use another"))
    return groups.of_film


def _with_audit(train: FilmSet, validation: FilmSet | None) -> Splits:
    sets = [train] if validation is None else [train, validation]
    side = np.repeat(np.arange(len(sets)), [len(films) for films in sets])
    audit = audit_leakage(
        {name: side == i for i, name in enumerate(("train", "validation")[: len(sets)])},
        [patient for films in sets for patient in films.patients],
        [known for films in sets for known in films.patients_known],
        np.concatenate([films.labels for films in sets]),
        [digest for films in sets for digest in films.digests],
    )
    return Splits(train, validation, audit)
