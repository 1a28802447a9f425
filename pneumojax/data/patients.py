"""Who is on which film, and films divided by patient: validation carved out, or folds.

For everything that divides films into sides that must not share a child.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from pneumojax.data.films import CLASS_NAMES
from pneumojax.data.index import numbered
from pneumojax.errors import UserError

# The pathogens and the two normal series are each numbered from one: the number alone is nobody.
_PNEUMONIA_NAME = re.compile(r"person(\d+)_(bacteria|virus)_\d+", re.IGNORECASE)
_NORMAL_NAME = re.compile(r"(NORMAL2-)?IM-(\d+)-\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Identity:
    """What a file's name says of a film."""

    patient: str  # "bacteria-12", "IM-115", ...; the file's own path where the name says nothing
    pathogen: str  # "bacteria", "virus", "none" (a normal film) or "unknown"
    known: bool  # whether the name carries the patient


def identify(path: str, label: int) -> Identity:
    """Reads patient and pathogen from a name of the Kermany set.

    `person{N}_{bacteria|virus}_{i}` is patient "bacteria-N" or "virus-N", `IM-{N}-{i}` is "IM-N"
    and `NORMAL2-IM-{N}-{i}` is "NORMAL2-IM-N", in any case and N without leading zeros.
    """
    stem = PurePosixPath(path).stem
    pathogen = "unknown" if label else "none"
    if match := _PNEUMONIA_NAME.match(stem):
        named = match[2].lower()
        return Identity(f"{named}-{int(match[1])}", named if label else "none", True)
    if match := _NORMAL_NAME.match(stem):
        return Identity(f"{(match[1] or '').upper()}IM-{int(match[2])}", pathogen, True)
    return Identity(path, pathogen, False)


def swapped(paths: Sequence[str], labels: np.ndarray) -> int:
    """How many films have a name of the Kermany set that says the other class than their folder."""
    names = (PurePosixPath(path).stem for path in paths)
    return sum(
        bool((_NORMAL_NAME if label else _PNEUMONIA_NAME).match(name))
        for name, label in zip(names, labels, strict=True)
    )


def swapped_warning(count: int, films: int) -> str:
    """The warning where `count` of `films` have a name of the other class, from `swapped`."""
    if not count:
        return ""
    return (
        f"warning: data.root: {count:,} of {films:,} films have names of the other "
        "class (IM-... in PNEUMONIA, person..._bacteria in NORMAL). If the two folders are "
        "swapped, every call will be the wrong way round"
    )


def carve(
    patients: Sequence[str],
    labels: np.ndarray,
    digests: Sequence[str],
    fraction: float,
    seed: int,
) -> np.ndarray:
    """Chooses the validation films, by patient and stratified by class.

    Patients who share a byte-identical film stay together. The groups of a class (of a group's
    majority) are visited in an order hashed from the seed and the name of the group, so neither
    the order of the files matters nor does another patient move the rest; a group is taken where
    it brings the class closer to its share.

    Args:
        patients: (n,) patient of each film.
        labels: (n,) label of each film.
        digests: (n,) hash of each file's bytes.
        fraction: share of the films wanted for validation, 0 for none.
        seed: chooses another carve.

    Returns:
        bool (n,), True where a film is for validation.

    Raises:
        UserError: the fraction is not in [0, 1), or a side would have no film of a class.
    """
    if not 0 <= fraction < 1:
        raise UserError(f"data.val_fraction: {fraction} is not in [0, 1)")
    if fraction == 0:
        return np.zeros(len(patients), bool)
    labels = np.asarray(labels)
    groups = _groups(patients, digests)
    majority = {name: int(labels[films].mean() >= 0.5) for name, films in groups.items()}
    chosen: set[str] = set()
    for label in range(len(CLASS_NAMES)):
        sizes = {name: len(films) for name, films in groups.items() if majority[name] == label}
        chosen |= _take(sizes, fraction, seed)
    validation = np.zeros(len(patients), bool)
    for name in chosen:
        validation[groups[name]] = True
    for side, mask in (("validation", validation), ("training", ~validation)):
        for label, name in enumerate(CLASS_NAMES):
            if not np.any(labels[mask] == label):
                raise UserError(
                    f"data.val_fraction: {fraction} leaves no {name} film for {side} "
                    f"({np.sum(labels == label)} in all); give more patients or set it to 0"
                )
    return validation


def divide_into_folds(
    patients: Sequence[str], labels: np.ndarray, digests: Sequence[str], folds: int, seed: int
) -> np.ndarray:
    """Gives each film one of k folds, by patient and stratified by class.

    Patients who share a byte-identical film stay together, as in `carve`, and are visited in the
    same order; each group goes to the fold that has the fewest films of its class so far.

    Returns:
        int64 (n,), from 0 to folds - 1.

    Raises:
        UserError: fewer than two folds, or one would have no film of a class.
    """
    if folds < 2:
        raise UserError(f"data.folds: {folds} is neither 0 nor at least 2")
    labels = np.asarray(labels)
    groups = _groups(patients, digests)
    sizes = np.zeros((len(CLASS_NAMES), folds), np.int64)
    fold_of = np.zeros(len(patients), np.int64)
    for name in sorted(groups, key=lambda name: _rank(name, seed)):
        films = groups[name]
        label = int(labels[films].mean() >= 0.5)
        fold = int(np.argmin(sizes[label]))
        sizes[label, fold] += len(films)
        fold_of[films] = fold
    for label, name in enumerate(CLASS_NAMES):
        if len(np.unique(fold_of[labels == label])) < folds:
            raise UserError(
                f"data.folds: {folds} folds leave one without a {name} film "
                f"({np.sum(labels == label)} in all); give more patients or fewer folds"
            )
    return fold_of


def _groups(patients: Sequence[str], digests: Sequence[str]) -> dict[str, list[int]]:
    """Films that must stay together, under the name of the group's first patient (union-find)."""
    parent: dict[str, str] = {patient: patient for patient in patients}

    def find(patient: str) -> str:
        while parent[patient] != patient:
            parent[patient] = parent[parent[patient]]
            patient = parent[patient]
        return patient

    owner: dict[int, str] = {}
    contents = numbered(digests)
    for film in np.flatnonzero(np.bincount(contents)[contents] > 1).tolist():
        patient = patients[film]
        owned_by = owner.setdefault(int(contents[film]), patient)
        first, second = sorted((find(owned_by), find(patient)))
        parent[second] = first  # the root of a group is its first patient in sorted order
    groups: dict[str, list[int]] = {}
    for i, patient in enumerate(patients):
        groups.setdefault(find(patient), []).append(i)
    return groups


def _take(sizes: Mapping[str, int], fraction: float, seed: int) -> set[str]:
    """The groups of one class for validation; at least one on either side where there are two."""
    if len(sizes) < 2:
        return set()
    order = sorted(sizes, key=lambda name: _rank(name, seed))
    wanted = fraction * sum(sizes.values())
    taken: list[str] = []
    for name in order:
        if abs(wanted - sizes[name]) < abs(wanted):
            taken.append(name)
            wanted -= sizes[name]
    if not taken:
        taken = [min(order, key=lambda name: sizes[name])]
    if len(taken) == len(order):
        taken.pop()
    return set(taken)


def _rank(name: str, seed: int) -> str:
    # A file name need not be valid text, and then stands for patient unknown here.
    text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()
