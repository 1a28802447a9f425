"""Reads patient and pathogen from the names of files."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from pneumojax.config.rules import KERMANY, PATIENT_PATTERNS

# Each pathogen and each of the two normal series is numbered from one, so a patient is the number
# together with the series.
_PNEUMONIA_NAME = re.compile(r"person(\d+)_(bacteria|virus)_\d+", re.IGNORECASE)
_NORMAL_NAME = re.compile(r"(NORMAL2-)?IM-(\d+)-\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Identity:
    """The patient and the pathogen of a film, as far as they are known."""

    patient: str  # such as "bacteria-12" or "IM-115"; the file's own path if it is unknown
    pathogen: str  # "bacteria", "virus", "none" (a normal film) or "unknown"
    known: bool  # whether the patient is known


@dataclass(frozen=True)
class PatientPattern:
    """The rule of `config.data.patient_pattern`, which finds a film's patient in its path.

    A rule is "kermany" or another name in `PATIENT_PATTERNS`, a regular expression, or "" if paths
    tell no patient. An expression is searched for in the path relative to the root, with forward
    slashes. Its groups together name the patient; without groups, the whole match does.
    """

    rule: str = KERMANY

    def identify(self, path: str, label: int) -> Identity:
        """Patient and pathogen of a film; only Kermany's names tell a pathogen."""
        if self.rule == KERMANY:
            return identify(path, label)
        pathogen = "unknown" if label else "none"
        match = self._expression.search(path) if self._expression else None
        if match is None:
            return Identity(path, pathogen, False)
        named = "-".join(filter(None, match.groups() or (match[0],)))
        return Identity(named or path, pathogen, bool(named))

    @functools.cached_property
    def _expression(self) -> re.Pattern[str] | None:
        return re.compile(PATIENT_PATTERNS.get(self.rule, self.rule)) if self.rule else None


def identify(path: str, label: int) -> Identity:
    """Reads patient and pathogen from a name of the Kermany set.

    `person{N}_{bacteria|virus}_{i}` is patient "bacteria-N" or "virus-N", `IM-{N}-{i}` is "IM-N"
    and `NORMAL2-IM-{N}-{i}` is "NORMAL2-IM-N", in any case and with N without leading zeros.
    """
    stem = PurePosixPath(path).stem
    pathogen = "unknown" if label else "none"
    if match := _PNEUMONIA_NAME.match(stem):
        named = match[2].lower()
        return Identity(f"{named}-{int(match[1])}", named if label else "none", True)
    if match := _NORMAL_NAME.match(stem):
        return Identity(f"{(match[1] or '').upper()}IM-{int(match[2])}", pathogen, True)
    return Identity(path, pathogen, False)


def count_contradictions(paths: Sequence[str], labels: np.ndarray) -> int:
    """Counts the films whose Kermany-style name tells another class than their label."""
    names = (PurePosixPath(path).stem for path in paths)
    return sum(
        bool((_NORMAL_NAME if label else _PNEUMONIA_NAME).match(name))
        for name, label in zip(names, labels, strict=True)
    )


def contradiction_warning(count: int, films: int) -> str:
    """The warning that `count` of `films` have a name of the other class; "" if none has."""
    if not count:
        return ""
    return (
        f"warning: config.data.root: {count:,} of {films:,} films have names of the other "
        "class (IM-... in PNEUMONIA, person..._bacteria in NORMAL). If the two folders are "
        "swapped, every call will be the wrong way round"
    )
