"""Lists the films of a table as a `FilmFolder`, and checks every row.

A row that cannot be used is left out and listed with its reason. `load_split` counts these rows,
and refuses a table if they are more than `config.data.max_rejected_fraction` of it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pneumojax.data.films import ARCHIVES, FilmFile, FilmFolder, Rejected, find_films
from pneumojax.data.naming import FilmNaming
from pneumojax.data.table import Row, Table, read_table
from pneumojax.data.table_labels import labels_advice, read_labels
from pneumojax.data.table_paths import TablePaths
from pneumojax.errors import UserError

_SPLITS = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val", "dev": "val"},
    **{"test": "test", "testing": "test"},
}
# If a patient is on several sides, only the films on the first of these sides are kept.
_KEPT_FIRST = ("test", "val", "train")


class _Listed(NamedTuple):
    """A row that can be used, and its film."""

    film: FilmFile
    row: Row


def find_any_films(path: Path, named_by: str, naming: FilmNaming) -> FilmFolder:
    """The films of a folder or of a table, whichever the path is."""
    if path.is_file() and not path.name.lower().endswith(ARCHIVES):
        return find_table_films(path, None, named_by, naming)
    return find_films(path, named_by, naming)


def find_table_films(
    path: Path, root: Path | None, named_by: str, naming: FilmNaming
) -> FilmFolder:
    """Lists the films of a table, sorted by path, and the rows that cannot be used.

    Films without a split have the split "all".

    Args:
        root: the folder that paths are relative to; None for the folder of the table.

    Raises:
        UserError: the table cannot be read, its labels are no classes, or it has no usable row.
    """
    if root is not None and not root.is_dir():
        raise UserError(f"config.data.root: {str(root)!r} is not a folder")
    table = read_table(path, naming.columns, named_by)
    where = f"{named_by}: {str(path)!r}"
    labels = read_labels((row.label for row in table.rows), naming.classes, where)
    paths = TablePaths.of((row.path for row in table.rows), path, root)
    found: list[_Listed] = []
    rejected: list[Rejected] = []
    ignored = 0
    for row in table.rows:
        if row.label and labels[row.label] is None and naming.classes.is_listed(row.label):
            ignored += 1
            continue
        film = _film(row, labels[row.label], table, paths)
        if isinstance(film, str):
            rejected.append(Rejected(row.path, film, _SPLITS.get(row.split.casefold(), "all")))
        else:
            found.append(_Listed(film, row))
    found = _without_duplicates(found, rejected)
    found = _on_one_side(found, rejected, naming)
    if not found:
        reason, rows = Counter(each.reason for each in rejected).most_common(1)[0]
        raise UserError(
            f"{where}: none of its {len(table.rows):,} rows can be used, such as "
            f"{rejected[0].path!r}; {rows:,} of them because {reason}{paths.advice(reason)}"
        )
    found.sort(key=lambda listed: listed.film.path)
    return FilmFolder(
        paths.base,
        tuple(listed.film for listed in found),
        named_by,
        ignored=ignored,
        naming=naming,
        table=path,
        columns={
            name: np.array([listed.row.others[place] for listed in found], object)
            for place, name in enumerate(table.others)
        },
        rejected=tuple(rejected),
        advice=labels_advice((row.label for row in table.rows), naming.classes, len(rejected)),
    )


def _film(row: Row, label: int | None, table: Table, paths: TablePaths) -> FilmFile | str:
    """The film of a row, or the reason why it cannot be used."""
    if row.is_broken:
        return "its row has another number of cells than the table has columns"
    if not row.path:
        return "its row has no path"
    if not row.label:
        return "its row has no label"
    if label is None:
        name = row.label[:40]
        return f"its label {name!r} is in none of config.data.negative, positive and ignored"
    if table.has_patients and not row.patient:
        return "its row has no patient"
    split = _SPLITS.get(row.split.casefold()) if table.has_splits else "all"
    if split is None:
        return f"its split {row.split[:40]!r} is none of train, val and test"
    found = paths.find(row.path)
    if isinstance(found, str):
        return found
    return FilmFile(found.name, split, label, found.size, found.mtime_ns, row.patient)


def _without_duplicates(found: Sequence[_Listed], rejected: list[Rejected]) -> list[_Listed]:
    """The first row of each path; no row of a path that is listed with both labels."""
    labels: dict[str, set[int]] = {}
    for listed in found:
        labels.setdefault(listed.film.path, set()).add(listed.film.label)
    kept: dict[str, _Listed] = {}
    for listed in found:
        path, split = listed.film.path, listed.film.split
        if len(labels[path]) > 1:
            rejected.append(Rejected(path, "its path is listed with both labels", split))
        elif path in kept:
            rejected.append(Rejected(path, "its path is listed more than once", split))
        else:
            kept[path] = listed
    return list(kept.values())


def _on_one_side(
    found: Sequence[_Listed], rejected: list[Rejected], naming: FilmNaming
) -> list[_Listed]:
    """The films without those whose patient is on another side too, where they would leak."""
    patients = [_patient(listed.film, naming) for listed in found]
    sides: dict[str, set[str]] = {}
    for listed, patient in zip(found, patients, strict=True):
        sides.setdefault(patient, set()).add(listed.film.split)
    kept = []
    for listed, patient in zip(found, patients, strict=True):
        side = next((side for side in _KEPT_FIRST if side in sides[patient]), "all")
        if listed.film.split == side:
            kept.append(listed)
        else:
            reason = f"its patient is in {side} as well"
            rejected.append(Rejected(listed.film.path, reason, listed.film.split))
    return kept


def _patient(film: FilmFile, naming: FilmNaming) -> str:
    return film.patient or naming.patients.identify(film.path, film.label).patient
