"""The films of an evaluation and the logits that a network gave them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.data.film_set import FilmSet
from pneumojax.run.film_list import THIS_FILM


@dataclass(frozen=True)
class Predictions:
    """The logits of n films, and what is known about the films; all fields are in one order.

    `patients` is None where some are unknown. A pathogen is "bacteria", "virus", "none" (a normal
    film) or "unknown". `trained_on` holds notes of `SeenFilms.note`. `class_names` are those of the
    network, which another folder may name otherwise.
    """

    files: Sequence[str]
    patients: Sequence[str] | None
    pathogens: Sequence[str]
    labels: NDArray
    logits: NDArray
    trained_on: Sequence[str]
    class_names: ClassNames = CLASS_NAMES

    @property
    def units(self) -> NDArray:
        """Keys (n,) by which films are resampled: their patients, or else one key for each film."""
        if self.patients is None:
            return np.arange(len(self.labels))
        return np.asarray(self.patients)

    @property
    def unit(self) -> str:
        return "film" if self.patients is None else "patient"

    @classmethod
    def of_films(
        cls, films: FilmSet, logits: NDArray, trained_on: Sequence[str], class_names: ClassNames
    ) -> "Predictions":
        return cls(
            files=films.paths,
            patients=films.patients if all(films.patients_known) else None,
            pathogens=[identity.pathogen for identity in films.identities],
            labels=films.labels,
            logits=logits,
            trained_on=trained_on,
            class_names=class_names,
        )


@dataclass(frozen=True)
class TrainedOn:
    """Scored films that the network was trained on, and further ones of their patients."""

    films: int
    of_their_patients: int

    @classmethod
    def count(cls, notes: Sequence[str]) -> "TrainedOn":
        """Counts the notes (n,) of `SeenFilms.note`."""
        films = sum(note == THIS_FILM for note in notes)
        return cls(films, sum(map(bool, notes)) - films)

    def warning(self, n: int) -> str:
        """The warning that metrics of n films do not hold for new patients; "" if none was seen."""
        parts = []
        if self.films:
            parts.append(f"on {self.films:,} of these {n:,} films")
        if self.of_their_patients:
            more = "more films" if self.films else f"of these {n:,} films"
            parts.append(f"on other films of the patients of {self.of_their_patients:,} {more}")
        if not parts:
            return ""
        return (
            f"warning: the network was trained {' and '.join(parts)}. "
            "These metrics say nothing about new patients"
        )
