"""A file of predictions that grows row by row, and that a later run of the same goes on with."""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pneumojax.errors import UserError
from pneumojax.files import as_text, failing_clearly, from_text
from pneumojax.numerals import decimal, probability
from pneumojax.predict.destination import open_alone

# `file`, `probability` and `call` are what `--mode=compare` reads.
COLUMNS = (
    *("file", "probability", "call", "threshold", "note", "warnings"),
    *("deviation", "lowest", "highest"),  # of the members' probabilities; empty with one network
    *("path", "sha256"),  # which film the row is about: a name alone may come to mean another
    *("trained_on", "checkpoint", "disclaimer"),
)
_OF_EARLIER_VERSIONS = tuple(name for name in COLUMNS if name not in ("path", "sha256"))
_OF_RUN = ("threshold", "trained_on", "checkpoint", "disclaimer")
_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}  # bytes of odd names survive
_LONGEST_ROW = 1 << 20  # bytes; two paths and the warnings come to a few thousand
Row = dict[str, Any]


class PredictionFile:
    """CSV, or JSON lines where the name ends in .jsonl, appended to after each batch of rows.

    A file that a killed run left is continued: a last row that was cut short is removed, the films
    of the rows before it are done. One process has it at a time. A context manager.

    Args:
        path: absolute; its folder is made.
        of_run: the values of `_OF_RUN`, which every row of this run has.

    Attributes:
        done: the digest of each film in the file by its resolved path, "" for an unread one.
        names: what stands in the column `file`, each once.
        unreadable: how many rows have no probability.

    Raises:
        UserError: the file is not one of predictions, or of another run, or another process writes
            to it, or it is none that can be written; it is left as it was.
    """

    def __init__(self, path: Path, of_run: Row):
        self._path = path
        self._of_run = {name: of_run[name] for name in _OF_RUN}
        self._json = path.suffix.lower() == ".jsonl"
        self.done: dict[str, str] = {}
        self.names: set[str] = set()
        self.unreadable = 0
        # Unbuffered: what a full disk did not take must not be tried again when it is closed.
        self._stream = open(open_alone(path), "r+b", buffering=0)  # noqa: SIM115
        try:
            with failing_clearly(path, "--output"):
                self._end = self._read()
                self._stream.truncate(self._end)
                if self._end == 0 and not self._json:
                    self._write(_csv_line(COLUMNS))
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> "PredictionFile":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # A full disk may be told as late as here, by file systems that write behind.
            with failing_clearly(self._path, "--output"):
                try:
                    os.fsync(self._stream.fileno())
                finally:
                    self._stream.close()
        except UserError:
            if error is None:  # else that one says what was wrong first
                raise

    def append(self, rows: Iterable[Row]) -> None:
        """Writes rows, each with the columns that are not the run's, all or none of them.

        Raises:
            UserError: the disk is full, or the like.
        """
        rows = list(rows)
        whole = [row | self._of_run for row in rows]
        self._write(b"".join(map(_json_line if self._json else _csv_row, whole)))
        for row in rows:
            self._note(row)

    def _write(self, data: bytes) -> None:
        with failing_clearly(self._path, "--output"):
            try:
                self._stream.seek(self._end)
                left = memoryview(data)
                while left:
                    left = left[self._stream.write(left) :]
            except BaseException:
                self._stream.truncate(self._end)  # no row cut in two for whoever reads it now
                raise
        self._end += len(data)

    def _read(self) -> int:
        """Notes the films of an existing file; where its last whole row ends, in bytes."""
        self._check_beginning()
        end = 0
        self._stream.seek(0)
        with open(os.dup(self._stream.fileno()), "rb") as stream:
            for record in self._records(stream):
                if end or self._json:
                    row = self._parse(record)
                    self._check_run(row)
                    self._note(row)
                end += len(record)
        return end

    def _check_beginning(self) -> None:
        """Refuses whatever does not begin as predictions do, before more of it is read."""
        whole, earlier = (
            b'{"file": ' if self._json else _csv_line(columns)
            for columns in (COLUMNS, _OF_EARLIER_VERSIONS)
        )
        begins = self._stream.read(max(len(whole), len(earlier)))
        if not self._json and begins.startswith(earlier):
            raise self._refused(_EARLIER)
        if not whole.startswith(begins[: len(whole)]):
            raise self._refused("its first line is not that of a file of predictions")

    def _records(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Each whole line; in a CSV a line end within quotes does not end it."""
        record = b""
        while line := stream.readline(_LONGEST_ROW):
            record += line
            if len(record) >= _LONGEST_ROW:
                raise self._refused("a line of it is no prediction")
            if line.endswith(b"\n") and (self._json or record.count(b'"') % 2 == 0):
                yield record
                record = b""

    def _parse(self, record: bytes) -> Row:
        try:
            text = record.decode(**_ENCODING)
            row = json.loads(text) if self._json else _from_csv(text)
            if self._json and isinstance(row, dict) and tuple(row) == _OF_EARLIER_VERSIONS:
                raise self._refused(_EARLIER)
            _check(row)
        except (ValueError, csv.Error, RecursionError) as error:
            raise self._refused("a line of it is no prediction") from error
        return row

    def _check_run(self, row: Row) -> None:
        for name, value in self._of_run.items():
            if row[name] != value:
                raise self._refused(f"it is of another run ({name}: {row[name]!r}, now {value!r})")

    def _note(self, row: Row) -> None:
        self.done[row["path"]] = row["sha256"]
        # One object for both where they are equal, since there may be millions.
        self.names.add(row["path"] if row["path"] == row["file"] else row["file"])
        self.unreadable += row["probability"] is None

    def _refused(self, why: str) -> UserError:
        return UserError(f"--output: cannot go on with {str(self._path)!r}: {why}; name another")


_EARLIER = "an earlier version wrote it, without telling films of one name apart"


def _from_csv(text: str) -> Row:
    (cells,) = csv.reader(io.StringIO(text, newline=""), strict=True)
    row: Row = dict(zip(COLUMNS, map(from_text, cells), strict=True))
    value = row["probability"]
    row["probability"] = probability(value) if value else None
    row["threshold"] = decimal(row["threshold"])
    return row


def _check(row: Any) -> None:
    """Raises ValueError unless a row has the columns, and of the right types those that count."""
    if not isinstance(row, dict) or tuple(row) != COLUMNS:
        raise ValueError("not the columns of a prediction")
    texts = (row[name] for name in ("file", "path", "sha256", "call", "note"))
    value = row["probability"]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("not text")
    if value is not None and not (type(value) in (int, float) and 0 <= value <= 1):
        raise ValueError("not a probability")


def _json_line(row: Row) -> bytes:
    return (json.dumps({name: row[name] for name in COLUMNS}, allow_nan=False) + "\n").encode()


def _csv_row(row: Row) -> bytes:
    cells = [row[name] for name in COLUMNS]
    return _csv_line(as_text("; ".join(cell) if isinstance(cell, list) else cell) for cell in cells)


def _csv_line(cells: Iterable[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(**_ENCODING)
