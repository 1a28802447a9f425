"""The audit of sides that must not share a child: counted from the films themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pneumojax.data.index import numbered


@dataclass(frozen=True)
class Side:
    """How much one side of a division holds."""

    films: int
    patients: int  # distinct; films whose patient is unknown are not counted
    unknown_films: int  # whose names carry no patient


@dataclass(frozen=True)
class Audit:
    """What the sides of a division have in common."""

    sides: dict[str, Side]
    shared_patients: int  # known patients on more than one side
    shared_files: int  # distinct contents on more than one side
    duplicate_groups: int  # distinct contents under more than one name
    label_conflicts: int  # distinct contents under both classes

    @property
    def unknown_films(self) -> int:
        """Films whose names carry no patient."""
        return sum(side.unknown_films for side in self.sides.values())

    @property
    def patients_known(self) -> bool:
        """Whether every film's name carries its patient; without it nothing is proved."""
        return self.unknown_films == 0

    def as_dict(self) -> dict[str, object]:
        """Every number by name, for JSON."""
        derived = {"unknown_films": self.unknown_films, "patients_known": self.patients_known}
        return asdict(self) | derived

    def line(self) -> str:
        """The audit in one line for the terminal and the report."""
        sides = ", ".join(
            f"{name} {side.films:,} films of {side.patients:,} patients"
            if self.patients_known
            else f"{name} {side.films:,} films"
            for name, side in self.sides.items()
        )
        shared = (
            f"{_count(self.shared_patients, 'patient')} and "
            f"{_count(self.shared_files, 'identical file')} on both sides"
        )
        if not self.patients_known:
            verdict = f"patients unknown for {_count(self.unknown_films, 'film')}; {shared}"
        elif self.shared_patients or self.shared_files:
            verdict = f"NOT disjoint: {shared}"
        else:
            verdict = f"{shared}: disjoint"
        notes = ""
        if self.duplicate_groups:
            notes += f"; {_count(self.duplicate_groups, 'group')} of identical files"
        if self.label_conflicts:
            notes += f"; {_count(self.label_conflicts, 'file')} under both classes"
        return f"audit: {sides}; {verdict}{notes}"


def audit(
    sides: Mapping[str, np.ndarray],
    patients: Sequence[str],
    known: Sequence[bool] | np.ndarray,
    labels: np.ndarray,
    digests: Sequence[str],
) -> Audit:
    """Compares the sides of a division film by film, trusting nothing of how it was made.

    Args:
        sides: for each named side its films, as bool (n,) or as indices.
        patients: (n,) patient of each film.
        known: (n,) whether the film's name carries the patient.
        labels: (n,) label of each film.
        digests: (n,) hash of each file's bytes.
    """
    indices = {name: np.arange(len(patients))[chosen] for name, chosen in sides.items()}
    known, labels = np.asarray(known, bool), np.asarray(labels)
    who, contents = numbered(patients), numbered(digests)
    films = np.concatenate(list(indices.values()))
    side = np.repeat(np.arange(len(indices)), [len(some) for some in indices.values()])
    return Audit(
        sides={
            name: Side(
                films=len(some),
                patients=len(np.unique(who[some[known[some]]])),
                unknown_films=int(np.sum(~known[some])),
            )
            for name, some in indices.items()
        },
        shared_patients=_in_several(who[films[known[films]]], side[known[films]]),
        shared_files=_in_several(contents[films], side),
        duplicate_groups=_in_several(contents[films], films),
        label_conflicts=_in_several(contents[films], labels[films]),
    )


def _in_several(what: np.ndarray, where: np.ndarray) -> int:
    """How many distinct values of `what` (n,) stand at more than one value of `where` (n,)."""
    places = int(where.max(initial=0)) + 1
    pairs = np.unique(what * places + where)
    return int(np.sum(np.unique(pairs // places, return_counts=True)[1] > 1))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
