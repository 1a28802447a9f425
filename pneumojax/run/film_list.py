"""films.csv, the list of all films of a run, and whether a network was trained on a film at hand.

A probability for a film that the network was trained on, or for another film of its patient, says
nothing about new patients, so every place that shows one says so first.
"""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pneumojax.data.film_set import FilmSet
from pneumojax.data.naming import naming_of
from pneumojax.data.patients import PatientPattern
from pneumojax.data.splits import Splits
from pneumojax.errors import UserError
from pneumojax.files import read_csv, write_csv
from pneumojax.run.stored_config import is_synthetic, read_config

FILM_COLUMNS = ("file", "side", "label", "patient", "patient_known", "pathogen", "sha256")
_HIDDEN = "hash-"
THIS_FILM = "the network was trained on this film"
THIS_PATIENT = "the network was trained on films of this patient (by the file's name)"
THIS_IDENTIFIER = "the network was trained on films of this patient (by the patient's identifier)"
CANNOT_TELL = (
    "note: this run does not list the films it was trained on, so it cannot be told whether the "
    "network has seen a film before"
)


def write_films(workdir: Path, splits: Splits) -> None:
    """Writes films.csv, and rejected_films.csv with the files that were left out."""
    both = {"train": splits.train}
    if splits.validation is not None:
        both["validation"] = splits.validation
    write_csv(
        workdir / "films.csv",
        FILM_COLUMNS,
        (
            (path, side, label, who.patient, int(who.known), who.pathogen, digest)
            for side, films in both.items()
            for path, label, who, digest in zip(
                films.paths, films.labels, films.identities, films.digests, strict=True
            )
        ),
    )
    write_csv(workdir / "rejected_films.csv", ("file", "reason"), splits.rejected)


def read_films(workdir: Path) -> list[dict[str, str]]:
    """The rows of films.csv, see `FILM_COLUMNS`."""
    path = workdir / "films.csv"
    try:
        rows = read_csv(path)
        for row in rows:
            if set(row) != set(FILM_COLUMNS) or row["label"] not in ("0", "1"):
                raise ValueError("a line of it is not a film")
            if row["side"] not in ("train", "validation"):
                raise ValueError(f"side is {row['side'][:20]!r}, not train or validation")
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{str(path)!r} is not the list of films of a run: {error}") from error
    return rows


def hidden(patient: str) -> str:
    """A hash in place of a patient's name, or of a file's path if its name tells no patient.

    A released run has these in its films.csv, to tell whether it was trained on a patient.
    The hash of a hash is itself.
    """
    if patient.startswith(_HIDDEN):
        return patient
    return _HIDDEN + hashlib.sha256(patient.encode(errors="surrogateescape")).hexdigest()[:16]


class SeenFilms(NamedTuple):
    """The films that the parameters of one or several runs were trained on."""

    digests: frozenset[str]  # sha256 of the files, in hexadecimal digits
    patients: frozenset[str]  # as far as they are known, hashed by `hidden`
    known: bool  # whether every run lists its films
    patterns: frozenset[PatientPattern]  # of the runs; they find the patient in a file's name

    @classmethod
    def of_runs(cls, workdirs: Sequence[Path]) -> "SeenFilms":
        """Reads the training films from films.csv of each run folder."""
        digests: set[str] = set()
        patients: set[str] = set()
        patterns: set[PatientPattern] = set()
        known = True
        for workdir in workdirs:
            if not (workdir / "films.csv").exists():
                known = False
                continue
            config = read_config(workdir)
            synthetic = is_synthetic(config)
            patterns.add(naming_of(config).patients)
            for row in read_films(workdir):
                if row["side"] != "train":
                    continue
                digests.add(row["sha256"].lower())
                # If the patient is unknown, the column holds the file's path instead. The numbers
                # in the names of synthetic films have the form of real ones and name nobody.
                if row["patient_known"] == "1" and not synthetic:
                    patients.add(hidden(row["patient"]))
        return cls(frozenset(digests), frozenset(patients), known, frozenset(patterns))

    def note(self, name: str, sha256: str, patient: str = "") -> str:
        """`THIS_FILM`, `THIS_PATIENT`, `THIS_IDENTIFIER`, or "" for a film of nobody in training.

        The digest is compared first. A re-encoded copy has another digest, so the patient in the
        file name is compared as well; a file of another hospital may have the same name by chance.
        Last is `patient`, the identifier in a table or a DICOM header, if there is one.
        """
        if sha256.lower() in self.digests:
            return THIS_FILM
        for pattern in self.patterns:
            who = pattern.identify(name, 0)  # the patient does not depend on the label
            if who.known and hidden(who.patient) in self.patients:
                return THIS_PATIENT
        if patient and hidden(patient) in self.patients:
            return THIS_IDENTIFIER
        return ""

    def notes(self, films: FilmSet) -> list[str]:
        """The note on each film, also by the patients that a table or DICOM headers tell."""
        told = films.facts.patients
        return [
            self.note(path, digest, patient)
            for path, digest, patient in zip(
                films.paths,
                films.digests,
                [""] * len(films) if told is None else told,
                strict=True,
            )
        ]


def is_seen(warnings: Iterable[str]) -> bool:
    """Whether a film's warnings say that the network was trained on it or on its patient."""
    return any(warning in (THIS_FILM, THIS_PATIENT, THIS_IDENTIFIER) for warning in warnings)


def banner(seen: int, films: int) -> str:
    """The warning to show before any result if `seen` of `films` were trained on, else ""."""
    if not seen:
        return ""
    return (
        f"{seen:,} of {films:,} films: the network was trained on them or on films of their "
        "patients; these probabilities say nothing about new patients"
    )
