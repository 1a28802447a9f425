"""The films of an evaluation and the logits that a network gave them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.film_set import FilmSet


@dataclass(frozen=True)
class Predictions:
    """The logits of n films, and what is known about the films; all fields are in one order.

    files: as named in the CSV. patients: None where some are unknown.
    pathogens: "bacteria", "virus", "none" (a normal film) or "unknown" for each film.
    trained_on: for each film "", or a note of `SeenFilms.note`.
    """

    files: Sequence[str]
    patients: Sequence[str] | None
    pathogens: Sequence[str]
    labels: NDArray
    logits: NDArray
    trained_on: Sequence[str]

    @property
    def units(self) -> NDArray:
        """Keys (n,) by which films are resampled: their patients, or else one key for each film."""
        if self.patients is None:
            return np.arange(len(self.labels))
        return np.asarray(self.patients)

    @property
    def unit(self) -> str:
        """Whether a unit is a "film" or a "patient"."""
        return "film" if self.patients is None else "patient"

    @classmethod
    def of_films(cls, films: FilmSet, logits: NDArray, trained_on: Sequence[str]) -> "Predictions":
        """Joins the logits of a set of films and what is known about the films."""
        return cls(
            files=films.paths,
            patients=films.patients if all(films.patients_known) else None,
            pathogens=[identity.pathogen for identity in films.identities],
            labels=films.labels,
            logits=logits,
            trained_on=trained_on,
        )
