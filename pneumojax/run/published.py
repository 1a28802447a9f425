"""A run's records without the names of patients, files and folders, for publishing."""

from pathlib import Path
from typing import Any

from pneumojax.run.film_list import FILM_COLUMNS, hidden


def anonymous_film(row: dict[str, str]) -> list[str]:
    """The cells of a row of films.csv without the names of file and patient."""
    anonymous = {"file": "", "patient": hidden(row["patient"])}
    return [(row | anonymous)[name] for name in FILM_COLUMNS]


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """A config in which the paths of the films are reduced to the last name."""
    data = config["data"]
    names = {name: Path(data[name]).name for name in ("root", "table") if data.get(name)}
    return config | {"data": data | names}
