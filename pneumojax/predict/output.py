"""A file of predictions that grows row by row, and that a later run of the same goes on with."""

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pneumojax.errors import UserError
from pneumojax.files import as_text, from_text

# `file`, `probability` and `call` are what `--mode=compare` reads.
COLUMNS = (
    *("file", "probability", "call", "threshold", "note", "warnings"),
    *("deviation", "lowest", "highest"),  # of the members' probabilities; empty with one network
    *("trained_on", "checkpoint", "disclaimer"),
)
_OF_RUN = ("threshold", "trained_on", "checkpoint", "disclaimer")
_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}  # bytes of odd names survive
Row = dict[str, Any]


class PredictionFile:
    """CSV, or JSON lines where the name ends in .jsonl, appended to and flushed.

    What a killed run left is gone on with: a last row that was cut short is removed, the films
    before it are done. A context manager.

    Args:
        path: absolute; its folder is made.
        of_run: what stands in every row of this run: the values of `_OF_RUN`.

    Attributes:
        done: names of the films in the file.
        unreadable: how many of them have no probability.

    Raises:
        UserError: the file is none of predictions, or of another run; it is left as it was.
    """

    def __init__(self, path: Path, of_run: Row):
        self._path = path
        self._of_run = {name: of_run[name] for name in _OF_RUN}
        self._json = path.suffix.lower() == ".jsonl"
        self.done: set[str] = set()
        self.unreadable = 0
        with _failing_clearly(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            end = self._read() if path.exists() else 0
            self._stream: IO[bytes] = open(path, "r+b" if path.exists() else "x+b")  # noqa: SIM115
            self._stream.truncate(end)
            self._stream.seek(end)
            if end == 0 and not self._json:
                self._stream.write(_csv_line(COLUMNS))

    def __enter__(self) -> "PredictionFile":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def append(self, rows: Iterable[Row]) -> None:
        """Writes rows, of which each holds the columns that are not the run's, and flushes them.

        Raises:
            UserError: the disk is full, or the like.
        """
        with _failing_clearly(self._path):
            for row in rows:
                self.unreadable += row["probability"] is None
                whole = row | self._of_run
                self._stream.write(_json_line(whole) if self._json else _csv_row(whole))
            self._stream.flush()

    def _read(self) -> int:
        """Notes the films of an existing file; where its last whole row ends, in bytes."""
        end = 0
        with open(self._path, "rb") as stream:
            for record in _records(stream, quoted=not self._json):
                if end or self._json:
                    self._note(self._parse(record))
                elif record != _csv_line(COLUMNS):
                    raise self._refused("its first line is not that of a file of predictions")
                end += len(record)
            stream.seek(end)
            rest = stream.read(1 << 16)
        begins = b'{"file": ' if self._json else _csv_line(COLUMNS)
        if end == 0 and not begins.startswith(rest[: len(begins)]):
            raise self._refused("it holds something else")
        return end

    def _parse(self, record: bytes) -> Row:
        row: Row | None
        try:
            text = record.decode(**_ENCODING)
            if self._json:
                row = json.loads(text)
            else:
                (cells,) = csv.reader(io.StringIO(text, newline=""), strict=True)
                row = dict(zip(COLUMNS, map(from_text, cells), strict=True))
                row |= {
                    "probability": row["probability"] or None,
                    "threshold": float(row["threshold"]),
                }
        except (ValueError, csv.Error):
            row = None
        if not isinstance(row, dict) or tuple(row) != COLUMNS:
            raise self._refused("a line of it is no prediction")
        return row

    def _note(self, row: Row) -> None:
        for name, value in self._of_run.items():
            if row[name] != value:
                raise self._refused(f"it is of another run ({name}: {row[name]!r}, now {value!r})")
        self.done.add(row["file"])
        self.unreadable += row["probability"] is None

    def _refused(self, why: str) -> UserError:
        return UserError(f"--output: cannot go on with {str(self._path)!r}: {why}; name another")


def _records(stream: IO[bytes], *, quoted: bool) -> Iterator[bytes]:
    """Each whole line; a line end within quotes is none."""
    record = b""
    for line in stream:
        record += line
        if line.endswith(b"\n") and not (quoted and record.count(b'"') % 2):
            yield record
            record = b""


def _json_line(row: Row) -> bytes:
    return (json.dumps({name: row[name] for name in COLUMNS}, allow_nan=False) + "\n").encode()


def _csv_row(row: Row) -> bytes:
    cells = [row[name] for name in COLUMNS]
    return _csv_line(as_text("; ".join(cell) if isinstance(cell, list) else cell) for cell in cells)


def _csv_line(cells: Iterable[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(**_ENCODING)


@contextlib.contextmanager
def _failing_clearly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"--output: cannot write {str(path)!r}: {error.strerror}") from error
