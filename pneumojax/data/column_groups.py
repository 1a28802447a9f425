"""Divides films into groups by a column of a table or of DICOM headers.

An age becomes one of `AGE_BANDS`. Other numbers are divided at their quartiles if they have more
than `MOST_NAMED` values. All else is grouped by its values, of which the most frequent `MOST_NAMED`
keep their names.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pneumojax.data.classes import plain

MOST_NAMED = 10
UNKNOWN, OTHER = "unknown", "other"
# The least age of each band, in years: infants, children as in the Kermany set, older children, and
# adults.
AGE_BANDS = (0, 1, 5, 18, 40, 65, 80)
_OLDEST = 130  # years; more is a mistake, such as a year of birth
_AGES = ("age", "ageyears", "ageinyears", "patientage")
_MISSING = ("", "na", "n/a", "nan", "none", "null", "unknown", "?", "-")
_PARTS = 4


@dataclass(frozen=True)
class Groups:
    """The groups of n films.

    names: the groups that have films, in the order in which they are shown.
    of_film: int64 (n,), the index of each film's name.
    reason: why the column makes no groups, in which case there are no names; or "".
    """

    names: tuple[str, ...]
    of_film: np.ndarray
    reason: str = ""

    @property
    def films(self) -> list[np.ndarray]:
        """The indices of each group's films, in the order of `names`."""
        return [np.flatnonzero(self.of_film == i) for i in range(len(self.names))]


def group_films(
    column: str, values: Sequence[str] | np.ndarray, patients: Sequence[str] | None = None
) -> Groups:
    """Groups n films by their values (n,) in a column, as the module describes.

    A missing value makes a film "unknown". There are no groups if all films have the same value, or
    if the values seem to name films or patients: if most films have a value of their own, if each
    value belongs to one patient, or if most films would be "other".
    """
    texts = [str(value).strip() for value in values]
    known = np.array([text.casefold() not in _MISSING for text in texts], bool)
    counts = Counter(text for text, told in zip(texts, known, strict=True) if told)
    numbers = np.array([_number(text) for text in texts])
    numbers[~known] = math.nan
    if not counts:
        return _none("no film has a value")
    if len(counts) == 1 and known.all():
        return _none("all films have the same value")
    if np.isnan(numbers[known]).any():
        return _by_value(texts, known, counts, patients)
    if plain(column) in _AGES:
        return _by_age(numbers)
    if len(counts) > MOST_NAMED:
        return _by_quartile(numbers)
    return _by_value(texts, known, counts, patients)


def _none(reason: str) -> Groups:
    return Groups((), np.empty(0, np.int64), reason)


def _by_value(
    texts: Sequence[str],
    known: np.ndarray,
    counts: Counter[str],
    patients: Sequence[str] | None,
) -> Groups:
    films = int(known.sum())
    if 2 * len(counts) > films:
        return _none("most films have a value of their own")
    if patients is not None and len(counts) > 1:
        pairs = {(text, who) for text, who in zip(texts, patients, strict=True) if text in counts}
        if len(counts) == len(pairs):
            return _none("each value belongs to one patient")
    # Of equally frequent values, the first by name is kept.
    frequent = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_NAMED]
    if 2 * sum(counts[text] for text in frequent) < films:
        return _none(f"it has {len(counts):,} different values")
    named = sorted(frequent)
    place = {text: i for i, text in enumerate(named)}
    of_film = [
        place.get(text, len(named)) if told else len(named) + 1
        for text, told in zip(texts, known, strict=True)
    ]
    return _without_empty([*named, OTHER, UNKNOWN], np.array(of_film))


def _by_age(years: np.ndarray) -> Groups:
    ends = [*AGE_BANDS[1:], math.inf]
    names = [f"{low} to {end - 1}" for low, end in zip(AGE_BANDS, ends, strict=True)]
    names[0], names[-1] = f"under {ends[0]}", f"{AGE_BANDS[-1]} or more"
    inside = (years >= 0) & (years <= _OLDEST)  # False for nan
    band = np.searchsorted(AGE_BANDS, np.where(inside, years, 0), side="right") - 1
    return _without_empty([*names, UNKNOWN], np.where(inside, band, len(names)))


def _by_quartile(numbers: np.ndarray) -> Groups:
    known = ~np.isnan(numbers)
    edges = np.quantile(numbers[known], np.arange(1, _PARTS) / _PARTS)
    part = np.where(known, np.searchsorted(edges, numbers, side="left"), _PARTS)
    names = [_range(numbers[part == i]) for i in range(_PARTS)]
    return _without_empty([*names, UNKNOWN], part)


def _range(numbers: np.ndarray) -> str:
    """The range of some numbers as text; "" without any."""
    if not len(numbers):
        return ""
    low, high = f"{numbers.min():.4g}", f"{numbers.max():.4g}"
    return low if low == high else f"{low} to {high}"


def _without_empty(names: Sequence[str], of_film: np.ndarray) -> Groups:
    present, renumbered = np.unique(of_film, return_inverse=True)
    if len(present) < 2:
        return _none(f"all films are in one group, {names[present[0]]}")
    return Groups(tuple(names[i] for i in present.tolist()), renumbered)


def _number(text: str) -> float:
    """The number in a text; nan if it is not one, or not finite."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
