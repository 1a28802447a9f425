"""Whether a network was trained on a film at hand, or on other films of the same patient.

A probability for such a film says nothing about new patients, so every place that shows one says
so first.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pneumojax.data.patients import identify
from pneumojax.run.film_list import hidden, read_films
from pneumojax.run.stored_config import is_synthetic, read_config

THIS_FILM = "the network was trained on this film"
THIS_PATIENT = "the network was trained on films of this patient (by the file's name)"
CANNOT_TELL = (
    "note: this run does not list the films it was trained on, so it cannot be told whether the "
    "network has seen a film before"
)


class SeenFilms(NamedTuple):
    """The films that the parameters of one or several runs were trained on.

    digests: sha256 of the files, in hexadecimal digits.
    patients: `hidden` names of the patients whom the file names told.
    known: whether every run lists its films.
    """

    digests: frozenset[str]
    patients: frozenset[str]
    known: bool

    @classmethod
    def of_runs(cls, workdirs: Sequence[Path]) -> "SeenFilms":
        """Reads films.csv of each run folder; only its training side counts.

        Raises:
            UserError: a films.csv is there and cannot be read.
        """
        digests: set[str] = set()
        patients: set[str] = set()
        known = True
        for workdir in workdirs:
            if not (workdir / "films.csv").exists():
                known = False
                continue
            # Drawn films bear names of the same form, with numbers that are no real patient's.
            drawn = is_synthetic(read_config(workdir))
            for row in read_films(workdir):
                if row["side"] != "train":
                    continue
                digests.add(row["sha256"].lower())
                # Where the name told no patient, the column holds the file's path, which is nobody.
                if row["patient_known"] == "1" and not drawn:
                    patients.add(hidden(row["patient"]))
        return cls(frozenset(digests), frozenset(patients), known)

    def note(self, name: str, sha256: str) -> str:
        """`THIS_FILM`, `THIS_PATIENT`, or "" for a film that the network was not trained on.

        The digest decides first. A re-encoded copy has another digest, so the patient whom the
        file's name tells is looked up as well; another hospital's file may bear such a name.

        Args:
            name: file name or path; names of the Kermany set tell the patient, see `identify`.
            sha256: of the file's bytes, in hexadecimal digits.
        """
        if sha256.lower() in self.digests:
            return THIS_FILM
        who = identify(name, 0)  # the patient does not depend on the label
        if who.known and hidden(who.patient) in self.patients:
            return THIS_PATIENT
        return ""


def is_seen(warnings: Iterable[str]) -> bool:
    """Whether one of a film's warnings is that the network was trained on it or on its patient."""
    return any(warning in (THIS_FILM, THIS_PATIENT) for warning in warnings)


def banner(seen: int, films: int) -> str:
    """The line to show before any figure where `seen` of `films` were trained on; else ""."""
    if not seen:
        return ""
    return (
        f"{seen:,} of {films:,} films: the network was trained on them or on films of their "
        "patients; these probabilities say nothing about new patients"
    )
