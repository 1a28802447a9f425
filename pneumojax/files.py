"""Files that appear whole or not at all."""

import csv
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pneumojax.errors import UserError


@contextmanager
def failing_clearly(path: Path) -> Iterator[None]:
    """Raises UserError in place of what the system says of writing to `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {str(path)!r}: {error.strerror}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling to write to, flushed to disk and renamed to `path` on success.

    Raises:
        UserError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with failing_clearly(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with open(temporary, "rb") as stream:
                os.fsync(stream.fileno())
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Indented JSON; NaN and infinity, which JSON lacks, are a ValueError."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def printable(name: str) -> str:
    """A name from outside that no terminal or page stumbles over, whatever bytes it is made of."""
    if name.isprintable():
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# What a spreadsheet takes for a formula where a cell begins with it, wide forms among them; a cell
# that begins so behind apostrophes must come back with as many.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def as_text(cell: Any) -> Any:
    """A cell of a CSV, text with an apostrophe in front where a spreadsheet would compute it."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def from_text(cell: str) -> str:
    """What was written by `as_text`; any other text is itself."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A header line, then the rows, see `as_text`; bytes of odd file names survive."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(map(as_text, row) for row in rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a file that `write_csv` wrote, by column name.

    Raises:
        OSError: it cannot be read.
        ValueError, csv.Error: it is no such file.
    """
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as stream:
        header, *rows = list(csv.reader(stream, strict=True)) or [[]]
        return [dict(zip(header, map(from_text, row), strict=True)) for row in rows if row]
