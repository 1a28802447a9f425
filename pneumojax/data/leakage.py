"""Counts patients and files that occur in several splits, from the films themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pneumojax.data.index import group_numbers


@dataclass(frozen=True)
class SplitCounts:
    """The size of one split."""

    films: int
    patients: int  # distinct; films whose patient is unknown are not counted
    unknown_films: int  # films whose names tell no patient


@dataclass(frozen=True)
class LeakageAudit:
    """The patients and files that several splits share."""

    splits: dict[str, SplitCounts]
    shared_patients: int  # known patients in more than one split
    shared_files: int  # distinct contents in more than one split
    duplicate_groups: int  # distinct contents under more than one name
    label_conflicts: int  # distinct contents under both classes

    @property
    def unknown_films(self) -> int:
        return sum(split.unknown_films for split in self.splits.values())

    @property
    def patients_known(self) -> bool:
        """Whether every film's name tells its patient; if not, shared patients may be missed."""
        return self.unknown_films == 0

    def as_dict(self) -> dict[str, object]:
        """Every number by name, for JSON; run folders keep the splits under "sides"."""
        counts = asdict(self)
        derived = {"unknown_films": self.unknown_films, "patients_known": self.patients_known}
        return {"sides": counts.pop("splits")} | counts | derived

    def line(self) -> str:
        """The audit in one line for the terminal and the report."""
        splits = ", ".join(
            f"{name} {split.films:,} films of {split.patients:,} patients"
            if self.patients_known
            else f"{name} {split.films:,} films"
            for name, split in self.splits.items()
        )
        shared = (
            f"{_count(self.shared_patients, 'patient')} and "
            f"{_count(self.shared_files, 'identical file')} in more than one split"
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
        return f"audit: {splits}; {verdict}{notes}"


def audit_leakage(
    splits: Mapping[str, np.ndarray],
    patients: Sequence[str],
    known: Sequence[bool] | np.ndarray,
    labels: np.ndarray,
    digests: Sequence[str],
) -> LeakageAudit:
    """Compares splits film by film, whatever rule made them.

    Args:
        splits: the films of each split by its name, as bool (n,) or as indices.
        patients, known: (n,) patient of each film, and whether the film's name tells it.
        labels, digests: (n,) label of each film, and hash of its file.
    """
    indices = {name: np.arange(len(patients))[chosen] for name, chosen in splits.items()}
    known, labels = np.asarray(known, bool), np.asarray(labels)
    patient, contents = group_numbers(patients), group_numbers(digests)
    films = np.concatenate(list(indices.values()))
    split = np.repeat(np.arange(len(indices)), [len(some) for some in indices.values()])
    return LeakageAudit(
        splits={
            name: SplitCounts(
                films=len(some),
                patients=len(np.unique(patient[some[known[some]]])),
                unknown_films=int(np.sum(~known[some])),
            )
            for name, some in indices.items()
        },
        shared_patients=_in_several(patient[films[known[films]]], split[known[films]]),
        shared_files=_in_several(contents[films], split),
        duplicate_groups=_in_several(contents[films], films),
        label_conflicts=_in_several(contents[films], labels[films]),
    )


def _in_several(values: np.ndarray, places: np.ndarray) -> int:
    """Counts the distinct `values` (n,) that occur with more than one of `places` (n,)."""
    base = int(places.max(initial=0)) + 1
    pairs = np.unique(values * base + places)
    return int(np.sum(np.unique(pairs // base, return_counts=True)[1] > 1))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
