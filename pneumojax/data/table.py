"""Reads a CSV file that lists films: a row for each film, with its path and its label.

The file is UTF-8, with or without a byte order mark. Its cells are separated by the character that
separates the names of its columns: a comma, a semicolon, a tab or a bar.
"""

import csv
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pneumojax.data.classes import quoted
from pneumojax.data.naming import Columns
from pneumojax.errors import UserError
from pneumojax.files import from_text

TABLES = (".csv", ".tsv")  # suffixes by which predict knows a table
_SEPARATORS = ",;\t|"
_SHOWN = 12  # names of columns in a message


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; its texts are stripped, and "" if missing."""

    path: str
    label: str
    patient: str
    split: str
    others: tuple[str, ...]
    is_broken: bool = False  # whether it has more or fewer cells than there are columns


@dataclass(frozen=True)
class Table:
    """The rows of a table, and the columns that it has."""

    rows: tuple[Row, ...]
    others: tuple[str, ...]  # names of the columns without a meaning of their own
    has_patients: bool
    has_splits: bool


def read_table(path: Path, columns: Columns, named_by: str) -> Table:
    """Reads a table; its paths and labels are not checked.

    Raises:
        UserError: it is no CSV file in UTF-8, it lacks a column, or it has no row.
    """
    where = f"{named_by}: {str(path)!r}"
    return _table(*_cells(path, where), columns, where)


class UnlabelledFilm(NamedTuple):
    """A film of a table that needs no labels; its patient is "" if the table does not tell it."""

    path: str
    patient: str


def read_unlabelled(path: Path, named_by: str, columns: Columns) -> list[UnlabelledFilm]:
    """The films of a table that are to be predicted; raises UserError as `read_table` does.

    A table without the names in `columns` may have the default ones.
    """
    where = f"{named_by}: {str(path)!r}"
    names, rows = _cells(path, where)
    places = {name.casefold(): place for place, name in reversed(list(enumerate(names)))}

    def place_of(field: str) -> int | None:
        wanted = (getattr(named, field).casefold() for named in (columns, Columns()))
        return next((places[name] for name in wanted if name in places), None)

    def cell(row: list[str], place: int | None) -> str:
        return "" if place is None or place >= len(row) else from_text(row[place].strip())

    film, patient = place_of("path"), place_of("patient")
    if film is None:
        raise UserError(
            f"{where} has no column {columns.path!r}, which names the films (found "
            f"{_listed(names)})"
        )
    films = (UnlabelledFilm(cell(row, film), cell(row, patient)) for row in rows)
    return [film for film in films if film.path]


def _cells(path: Path, where: str) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the cells of each row."""
    if path.is_dir():
        raise UserError(f"{where} is a folder; a folder of films is named by config.data.root")
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            lines = _text_lines(stream, where)
            header = next(lines, "")
            separator = max(_SEPARATORS, key=header.count)
            names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
            if not any(names):
                raise UserError(f"{where} is empty; its first line must name the columns")
            reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
            return names, list(reader)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where} is not text in UTF-8 ({error.reason}); save it as CSV in UTF-8"
        ) from error
    except csv.Error as error:
        raise UserError(
            f"{where} cannot be read as CSV ({error}); a quotation mark may not be closed"
        ) from error
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror}") from error


def _text_lines(stream: Iterable[str], where: str) -> Iterator[str]:
    for line in stream:
        if "\0" in line:
            raise UserError(f"{where} is not text; save the table as CSV in UTF-8")
        yield line


def _table(
    names: Sequence[str], lines: Iterable[Sequence[str]], columns: Columns, where: str
) -> Table:
    path, label = (_place(names, columns, field, where) for field in ("path", "label"))
    patient, split = (_place(names, columns, field, where) for field in ("patient", "split"))
    known = {path, label, patient, split}
    others = [place for place, name in enumerate(names) if place not in known and name]

    def row(cells: Sequence[str]) -> Row:
        is_broken = len(cells) < len(names) or any(cells[len(names) :])
        cells = [from_text(cell.strip()) for cell in cells] + [""] * (len(names) - len(cells))

        def cell(place: int | None) -> str:
            return "" if place is None else cells[place]

        return Row(
            cell(path),
            cell(label),
            cell(patient),
            cell(split),
            tuple(cells[place] for place in others),
            is_broken,
        )

    rows = tuple(row(cells) for cells in lines if any(cell.strip() for cell in cells))
    if not rows:
        raise UserError(f"{where} names columns but has no row, and so no film")
    return Table(rows, tuple(names[i] for i in others), patient is not None, split is not None)


def _place(names: Sequence[str], columns: Columns, field: str, where: str) -> int | None:
    """The position of a field's column; None if the table lacks an optional one."""
    wanted = getattr(columns, field)
    places = [i for i, name in enumerate(names) if name.casefold() == wanted.casefold()]
    if len(places) > 1:
        raise UserError(f"{where} has {len(places)} columns {wanted!r}; rename all but one")
    if places:
        return places[0]
    if field in ("patient", "split") and wanted in ("", getattr(Columns(), field)):
        return None
    own = {getattr(columns, name).casefold() for name in ("path", "label", "patient", "split")}
    lower = {name.casefold(): name for name in names if name.casefold() not in own}
    near = difflib.get_close_matches(wanted.casefold(), lower, n=1, cutoff=0.6)
    meant = lower[near[0]] if near else "<name>"
    raise UserError(
        f"{where} has no column {wanted!r} (found {_listed(names)}); name the column with "
        f"--config.data.columns.{field}={meant!r}"
    )


def _listed(names: Sequence[str]) -> str:
    return quoted(names[:_SHOWN]) + ", ..." * (len(names) > _SHOWN)
