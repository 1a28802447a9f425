"""Writes files that appear complete or not at all, and text that is safe wherever it is shown."""

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
def failing_clearly(path: Path, flag: str = "", advice: str = "") -> Iterator[None]:
    """Turns errors of the system into UserError while `path` is written.

    `flag` is that of a `UserError`. The message ends with the `advice`.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error  # errors that Pillow raises have no strerror
        line = f"cannot write {str(path)!r}: {reason}" + f"; {advice}" * bool(advice)
        raise UserError(line, flag=flag) from error


class Appended:
    """A file to append to without a buffer.

    On a full disk a buffered file of Python tries to write its buffer again when it is closed, at
    the latest when the interpreter ends, which adds a traceback to the error already reported.
    """

    def __init__(self, path: Path):
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Writes all the data, in several calls if the system accepts only a part."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary file to write, which is flushed and renamed to `path` on success."""
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
    """Writes indented JSON; raises ValueError for NaN and infinity, which JSON lacks."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def refuse_links_out(folder: Path) -> None:
    """Refuses a folder in which a write could change a file outside it, or wait forever.

    A run folder may come from a stranger, and a link in it could lead to any file of the user. The
    folder itself may be a link, and links within it are allowed. A folder that does not exist is
    accepted. A folder below it that cannot be listed is refused too.
    """
    inside = os.path.realpath(folder)
    waiting = [os.fspath(folder)] if os.path.isdir(folder) else []
    while waiting:
        listed = waiting.pop()
        try:
            with os.scandir(listed) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"cannot list {listed!r}: {error.strerror}", flag="workdir") from error
        for entry in found:
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if not Path(target).is_relative_to(inside):
                    raise UserError(
                        f"{entry.path!r} is a link to {target!r}, outside the folder, and "
                        "nothing is written through it; put a copy in its place or remove it",
                        flag="workdir",
                    )
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                raise UserError(
                    f"{entry.path!r} is a pipe, a socket or a device, which no run writes; "
                    "remove it",
                    flag="workdir",
                )


def printable(name: str) -> str:
    """Makes a name that may hold anything safe to print.

    Control characters, escape codes, changes of text direction and characters without width are
    replaced by their codes, since they could rewrite or hide the text beside them.
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else _code(c) for c in name)


def _code(character: str) -> str:
    """The code of a character; U+DC80 to U+DCFF stand for bytes of a name that are not UTF-8."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


# A spreadsheet takes a cell that begins with one of these characters for a formula; four of them
# are wide forms. Leading apostrophes are matched too, so that `from_text` removes only the added
# one.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def as_text(cell: Any) -> Any:
    """A cell for a CSV file; an apostrophe is put before text that looks like a formula."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def from_text(cell: str) -> str:
    """Undoes `as_text`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a CSV file of cells as by `as_text`; names that are not UTF-8 keep their bytes."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(map(as_text, row) for row in rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Reads a file that `write_csv` wrote: each row as values by column name.

    Raises:
        OSError: the file cannot be read.
        ValueError, csv.Error: the file has another format.
    """
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as stream:
        header, *rows = list(csv.reader(stream, strict=True)) or [[]]
        return [dict(zip(header, map(from_text, row), strict=True)) for row in rows if row]
