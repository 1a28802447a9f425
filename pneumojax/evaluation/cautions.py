"""Warnings that are shown before the metrics of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

from pneumojax.data.patients import contradiction_warning
from pneumojax.run.seen_films import THIS_FILM


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


def cautions(n: int, trained_on: TrainedOn, swapped: int) -> list[str]:
    """One line for each reason to doubt the metrics of n films.

    Args:
        swapped: films whose names belong to the other class, see `count_contradictions`.
    """
    lines = [trained_on_line(trained_on, n), contradiction_warning(swapped, n)]
    return [line for line in lines if line]


def trained_on_line(trained_on: TrainedOn, n: int) -> str:
    """The warning that metrics do not hold for new patients; "" if no film or patient was seen."""
    films, of_their_patients = trained_on.films, trained_on.of_their_patients
    parts = []
    if films:
        parts.append(f"on {films:,} of these {n:,} films")
    if of_their_patients:
        more = "more films" if films else f"of these {n:,} films"
        parts.append(f"on other films of the patients of {of_their_patients:,} {more}")
    if not parts:
        return ""
    return (
        f"warning: the network was trained {' and '.join(parts)}. "
        "These metrics say nothing about new patients"
    )
