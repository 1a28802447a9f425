"""Warnings that a reader has to see before any figure of an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

from pneumojax.data.patients import contradiction_warning
from pneumojax.run.seen_films import THIS_FILM


def trained_on_counts(notes: Sequence[str]) -> dict[str, int]:
    """How many films the network was trained on, and of how many more it saw the patient.

    Args:
        notes: (n,) of `SeenFilms.note`.
    """
    films = sum(note == THIS_FILM for note in notes)
    return {"films": films, "of_their_patients": sum(map(bool, notes)) - films}


def cautions(result: Mapping[str, Any]) -> list[str]:
    """One line for each reason not to take the figures at their word; from `metrics.json`."""
    lines = [
        trained_on_line(**result["trained_on"], n=result["n"]),
        contradiction_warning(result.get("flow", {}).get("swapped", 0), result["n"]),
    ]
    return [line for line in lines if line]


def trained_on_line(*, films: int, of_their_patients: int, n: int) -> str:
    """The warning where figures are not of new patients; "" where no film or patient was seen."""
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
        "These figures say nothing about new patients"
    )
