"""A run's records without the names of patients, files and folders, for publishing."""

import json
from pathlib import Path
from typing import Any

from pneumojax.run.film_list import FILM_COLUMNS, hidden


def anonymous_film(row: dict[str, str]) -> list[str]:
    """The cells of a row of films.csv without the names of file and patient."""
    anonymous = {"file": "", "patient": hidden(row["patient"])}
    return [(row | anonymous)[name] for name in FILM_COLUMNS]


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """A config whose paths of films, weights and teachers are reduced to their last names."""
    data, start, distill = config["data"], config["start"], config["distill"]
    return config | {
        "data": data | {name: Path(data[name]).name for name in ("root", "table")},
        "start": start | {"weights": Path(start["weights"]).name},
        "distill": distill | {"teachers": [Path(folder).name for folder in distill["teachers"]]},
    }


def lineage(workdir: Path) -> dict[str, Any]:
    """The weights that a run began from and the digests of its teachers, by the names of files.

    A joined run has these for each of its networks.
    """
    if (path := workdir / "joined.json").exists():
        return {"networks": json.loads(path.read_text())}
    found: dict[str, Any] = {}
    if (path := workdir / "start.json").exists():
        start = json.loads(path.read_text())
        found["start"] = {"weights": Path(start["weights"]).name, "kind": start["kind"]}
        found["start"] |= {name: start[name] for name in ("sha256",) if name in start}
    if (path := workdir / "teachers.json").exists():
        teachers = json.loads(path.read_text())
        found["teachers"] = {Path(folder).name: digest for folder, digest in teachers.items()}
    return found
