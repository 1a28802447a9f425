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
def failing_clearly(path: Path, flag: str = "", advice: str = "") -> Iterator[None]:
    """Turns the system's errors while `path` is written into UserError.

    Args:
        flag: the flag that named the path, which begins the message.
        advice: what to do, which ends the message.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error  # errors that Pillow raises have no strerror
        line = f"{flag}: " * bool(flag) + f"cannot write {str(path)!r}: {reason}"
        raise UserError(line + f"; {advice}" * bool(advice)) from error


class Appended:
    """A file that is written to at its end without a buffer, and may be closed at any time.

    What Python's buffered files could not write they try again when they are closed, at the latest
    when the interpreter ends: on a full disk a traceback after the error has been told.

    Methods raise OSError as those of a file do.
    """

    def __init__(self, path: Path):
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Writes all of it; the system may take less at a time."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def sync(self) -> None:
        """Brings everything to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file; a second time does nothing."""
        self._file.close()


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


def refuse_links_out(folder: Path) -> None:
    """Checks that nothing which is written below a folder can land outside it, or wait for ever.

    A run folder may come from a stranger, whose links would have this program replace or make
    files of its user anywhere. The folder itself may be reached through a link, and links from
    one place of it to another are followed. A folder that does not exist has nothing to refuse.

    Raises:
        UserError: a link below the folder leads out of it, there is a pipe, a socket or a device,
            or a folder in it cannot be listed.
    """
    inside = os.path.realpath(folder)
    waiting = [os.fspath(folder)] if os.path.isdir(folder) else []
    while waiting:
        listed = waiting.pop()
        try:
            with os.scandir(listed) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"--workdir: cannot list {listed!r}: {error.strerror}") from error
        for entry in found:
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if not Path(target).is_relative_to(inside):
                    raise UserError(
                        f"--workdir: {entry.path!r} is a link to {target!r}, outside the folder, "
                        "and nothing is written through it; put a copy in its place or remove it"
                    )
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                raise UserError(
                    f"--workdir: {entry.path!r} is a pipe, a socket or a device, which no run "
                    "writes; remove it"
                )


def printable(name: str) -> str:
    """A name from outside that no terminal or page stumbles over, whatever bytes it is made of.

    Control characters, escape codes, those that turn the direction of text and those without a
    width are shown by their codes, since they would rewrite or hide what stands beside them.
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else _code(c) for c in name)


def _code(character: str) -> str:
    """The escape of a character; Python holds bytes of names that are no text as U+DC80 to DCFF."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


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
