"""Writes and reads films.csv, the list of all films of a run."""

import csv
import hashlib
from pathlib import Path

from pneumojax.data.splits import Splits
from pneumojax.errors import UserError
from pneumojax.files import read_csv, write_csv

FILM_COLUMNS = ("file", "side", "label", "patient", "patient_known", "pathogen", "sha256")
_HIDDEN = "hash-"


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
