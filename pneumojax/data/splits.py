"""Which films a run trains on, which it is validated on, and the proof that they are apart."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from pneumojax.data.audit import Audit, audit
from pneumojax.data.cache import FilmSet, load_split, resolve_root
from pneumojax.data.films import CLASS_NAMES, find_films, seen_in
from pneumojax.data.patients import carve, divide_into_folds
from pneumojax.decoding.film import Preprocessing
from pneumojax.errors import UserError


@dataclass(frozen=True)
class Sides:
    """Films to train on and to validate on; `validation` is None where there is none."""

    train: FilmSet
    validation: FilmSet | None
    audit: Audit

    @property
    def fingerprint(self) -> dict[str, str]:
        """16 hex digits for each side, of paths and contents."""
        validation = self.validation.fingerprint if self.validation else ""
        return {"train": self.train.fingerprint, "validation": validation}

    @property
    def rejected(self) -> list[tuple[str, str]]:
        """Path and reason of each file that is no readable film."""
        if self.validation is None or self.validation.split == self.train.split:  # none or carved
            return self.train.rejected
        return self.train.rejected + self.validation.rejected


def preprocessing_of(config: ConfigDict) -> Preprocessing:
    """What a config says about pixels, checked."""
    return Preprocessing(config.data.image_size, config.data.resize, config.data.reduced_decode)


def load_sides(
    config: ConfigDict,
    cache_dir: Path,
    *,
    verify: bool = False,
    log: Callable[[str], None] = print,
) -> Sides:
    """Loads the training split and divides it, or loads the shipped validation, as configured.

    Raises:
        UserError: a field is out of range, films are missing, unreadable or of one class only.
    """
    if config.data.val not in ("patients", "folder"):
        raise UserError(f"config.data.val is {config.data.val!r}: use 'patients' or 'folder'.")
    if config.data.folds and config.data.val == "folder":
        raise UserError(
            f"config.data.folds is {config.data.folds} and config.data.val 'folder': folds are "
            "carved by patient, with 'patients'."
        )
    root = resolve_root(config.data.root, cache_dir)

    def load(split: str) -> FilmSet:
        return load_split(
            root,
            split,
            preprocessing_of(config),
            cache_dir,
            max_rejected_fraction=config.data.max_rejected_fraction,
            max_cache_gb=config.data.max_cache_gb,
            verify=verify,
            log=log,
        )

    films = load("train")
    if len(present := np.unique(films.labels)) < 2:
        raise UserError(
            f"data.root: train of {str(root)!r} holds only {CLASS_NAMES[present[0]]} films; "
            "a network needs both classes to learn from"
        )
    if config.data.val == "folder":
        shipped = load("val")
        if len(present := np.unique(shipped.labels)) < 2:
            raise UserError(
                f"data.val: val of {str(root)!r} holds only {CLASS_NAMES[present[0]]} films, which "
                "cannot choose between epochs; use 'patients'"
            )
        return _with_audit(films, shipped)
    chosen = _validation(films, config)
    return _with_audit(films.select(~chosen), films.select(chosen) if chosen.any() else None)


def _validation(films: FilmSet, config: ConfigDict) -> np.ndarray:
    """bool (n,): the films to validate on, one fold or the hold-out."""
    seed = config.data.split_seed
    who = films.patients, films.labels, films.digests
    if config.data.folds < 0:
        raise UserError(f"config.data.folds is {config.data.folds}: it is 0, or at least 2.")
    if config.data.folds == 0:
        return carve(*who, config.data.val_fraction, seed)
    if not 0 <= config.data.fold < config.data.folds:
        raise UserError(
            f"config.data.fold is {config.data.fold}: the folds are 0 to {config.data.folds - 1}."
        )
    return divide_into_folds(*who, config.data.folds, seed) == config.data.fold


def audit_sides(sides: dict[str, FilmSet]) -> Audit:
    """Compares named sets of films: patients, identical files, labels."""
    sizes = [len(films) for films in sides.values()]
    bounds = np.cumsum([0, *sizes])
    return audit(
        {name: np.arange(bounds[i], bounds[i + 1]) for i, name in enumerate(sides)},
        [patient for films in sides.values() for patient in films.patients],
        [known for films in sides.values() for known in films.patients_known],
        np.concatenate([films.labels for films in sides.values()]),
        [digest for films in sides.values() for digest in films.digests],
    )


def _with_audit(train: FilmSet, validation: FilmSet | None) -> Sides:
    sides = {"train": train} | ({"validation": validation} if validation else {})
    return Sides(train, validation, audit_sides(sides))


def only_split(root: Path) -> str:
    """The one split that a folder has films of.

    Raises:
        UserError: it has films of several splits, or none.
    """
    folder = find_films(root)
    splits = sorted({film.split for film in folder.files})
    if not splits:
        raise UserError(f"--films: {str(root)!r} holds no JPEG or PNG film {seen_in(folder)}")
    if len(splits) > 1:
        raise UserError(
            f"--films: {str(root)!r} has several splits ({', '.join(splits)}); "
            "name one with --split"
        )
    return splits[0]
