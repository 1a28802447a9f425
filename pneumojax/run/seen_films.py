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
    patients: names of the patients, as far as file names tell them, hashed by `hidden`.
    known: whether every run lists its films.
    """

    digests: frozenset[str]
    patients: frozenset[str]
    known: bool

    @classmethod
    def of_runs(cls, workdirs: Sequence[Path]) -> "SeenFilms":
        """Reads the training films from films.csv of each run folder."""
        digests: set[str] = set()
        patients: set[str] = set()
        known = True
        for workdir in workdirs:
            if not (workdir / "films.csv").exists():
                known = False
                continue
            # Synthetic films have names of the same form, whose numbers are not real patients.
            synthetic = is_synthetic(read_config(workdir))
            for row in read_films(workdir):
                if row["side"] != "train":
                    continue
                digests.add(row["sha256"].lower())
                # If the file name tells no patient, the column holds the file's path instead.
                if row["patient_known"] == "1" and not synthetic:
                    patients.add(hidden(row["patient"]))
        return cls(frozenset(digests), frozenset(patients), known)

    def note(self, name: str, sha256: str) -> str:
        """`THIS_FILM`, `THIS_PATIENT`, or "" for a film that the network was not trained on.

        The digest is compared first. A re-encoded copy has another digest, so the patient in the
        file name is compared as well; a file of another hospital may have the same name by chance.

        Args:
            name: file name or path; `identify` reads the patient from names of the Kermany set.
            sha256: of the file's bytes, in hexadecimal digits.
        """
        if sha256.lower() in self.digests:
            return THIS_FILM
        who = identify(name, 0)  # the patient does not depend on the label
        if who.known and hidden(who.patient) in self.patients:
            return THIS_PATIENT
        return ""


def is_seen(warnings: Iterable[str]) -> bool:
    """Whether a film's warnings say that the network was trained on it or on its patient."""
    return any(warning in (THIS_FILM, THIS_PATIENT) for warning in warnings)


def banner(seen: int, films: int) -> str:
    """The warning to show before any result if `seen` of `films` were trained on, else ""."""
    if not seen:
        return ""
    return (
        f"{seen:,} of {films:,} films: the network was trained on them or on films of their "
        "patients; these probabilities say nothing about new patients"
    )
