"""A prediction file: it grows row by row, and a later run of the same command continues it."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from pneumojax.errors import UserError
from pneumojax.files import as_text, failing_clearly, from_text
from pneumojax.numerals import decimal, probability
from pneumojax.predict.destination import open_alone
from pneumojax.predict.prediction import Prediction, RunStamp

# `file`, `probability` and `call` are read by `--mode=compare`.
COLUMNS = (
    *("file", "probability", "call", "threshold", "note", "warnings"),
    *("deviation", "lowest", "highest"),  # of the members' probabilities; empty with one network
    *("path", "sha256"),  # identify the film: another one may get the same name later
    *("trained_on", "checkpoint", "disclaimer"),
)
_EARLIER_COLUMNS = tuple(name for name in COLUMNS if name not in ("path", "sha256"))
_EARLIER = "an earlier version wrote it, without telling films of one name apart"
_ENCODING = {"encoding": "utf-8", "errors": "surrogateescape"}  # names may not be UTF-8
_LONGEST_ROW = 1 << 20  # bytes; two paths and the warnings take a few thousand
_Record = dict[str, Any]  # a row as JSON values, by column


class PredictionFile(contextlib.AbstractContextManager["PredictionFile"]):
    """CSV, or JSON lines if the name ends in .jsonl, appended to after each batch of films.

    The file of a killed run is continued: an incomplete last row is removed, and the films of the
    rows before it count as done. Only one process holds the file at a time.

    Attributes:
        done: the digest of each film in the file by its resolved path, "" for an unreadable one.
        names: every value of the column `file`.
        unreadable: the number of rows without a probability.

    Raises:
        UserError: the file does not hold predictions, belongs to another run, is held by another
            process or cannot be written. It is left as it was.
    """

    def __init__(self, path: Path, stamp: RunStamp):
        self._path = path
        self._stamp = stamp
        self._json = path.suffix.lower() == ".jsonl"
        self.done: dict[str, str] = {}
        self.names: set[str] = set()
        self.unreadable = 0
        # Unbuffered: bytes that a full disk refused must not be tried again when it is closed.
        self._stream = open(open_alone(path), "r+b", buffering=0)  # noqa: SIM115
        try:
            with failing_clearly(path, "output"):
                self._end = self._read()
                self._stream.truncate(self._end)
                if self._end == 0 and not self._json:
                    self._write(_csv_line(COLUMNS))
        except BaseException:
            self._stream.close()
            raise

    def __exit__(self, *exception: object) -> None:
        try:
            # A file system that delays writes may not report a full disk before this.
            with failing_clearly(self._path, "output"), self._stream:
                os.fsync(self._stream.fileno())
        except UserError:
            if exception[0] is None:  # otherwise the first error is reported
                raise

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Writes rows, either all of them or none; raises UserError, as on a full disk."""
        predictions = list(predictions)
        self._write(_rows(predictions, self._stamp, _json_line if self._json else _csv_row))
        for each in predictions:
            self._note(vars(each))

    def _write(self, data: bytes) -> None:
        with failing_clearly(self._path, "output"):
            try:
                self._stream.seek(self._end)
                left = memoryview(data)
                while left:
                    left = left[self._stream.write(left) :]
            except BaseException:
                self._stream.truncate(self._end)  # no other process must read half a row
                raise
        self._end += len(data)

    def _read(self) -> int:
        """Notes the films of an existing file; returns the end of its last whole row in bytes."""
        self._check_beginning()
        end = 0
        self._stream.seek(0)
        with open(os.dup(self._stream.fileno()), "rb") as stream:
            for line in self._lines(stream):
                if end or self._json:
                    record = self._parse(line)
                    self._check_run(record)
                    self._note(record)
                end += len(line)
        return end

    def _check_beginning(self) -> None:
        """Refuses a file that does not begin as predictions do, before more of it is read."""
        whole, earlier = (
            b'{"file": ' if self._json else _csv_line(columns)
            for columns in (COLUMNS, _EARLIER_COLUMNS)
        )
        begins = self._stream.read(max(len(whole), len(earlier)))
        if not self._json and begins.startswith(earlier):
            raise self._refused(_EARLIER)
        if not whole.startswith(begins[: len(whole)]):
            raise self._refused("its first line is not that of a prediction file")

    def _lines(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Each whole row. In a CSV a line end within quotes does not end a row."""
        row = b""
        while line := stream.readline(_LONGEST_ROW):
            row += line
            if len(row) >= _LONGEST_ROW:
                raise self._refused("one of its lines is not a prediction")
            if line.endswith(b"\n") and (self._json or row.count(b'"') % 2 == 0):
                yield row
                row = b""

    def _parse(self, line: bytes) -> _Record:
        try:
            text = line.decode(**_ENCODING)
            record = json.loads(text) if self._json else _from_csv(text)
            if self._json and isinstance(record, dict) and tuple(record) == _EARLIER_COLUMNS:
                raise self._refused(_EARLIER)
            _check(record)
        except (ValueError, csv.Error, RecursionError) as error:
            raise self._refused("one of its lines is not a prediction") from error
        return record

    def _check_run(self, record: _Record) -> None:
        for name, value in vars(self._stamp).items():
            if record[name] != value:
                raise self._refused(
                    f"it belongs to another run ({name}: {record[name]!r}, now {value!r})"
                )

    def _note(self, record: _Record) -> None:
        path, file = record["path"], record["file"]
        self.done[path] = record["sha256"]
        # Equal names share one string, because a file may hold millions.
        self.names.add(path if path == file else file)
        self.unreadable += record["probability"] is None

    def _refused(self, reason: str) -> UserError:
        line = f"cannot continue {str(self._path)!r}: {reason}; name another"
        return UserError(line, flag="output")


def csv_of(predictions: Iterable[Prediction], stamp: RunStamp) -> bytes:
    """The contents of a CSV of predictions, as a `PredictionFile` would hold them."""
    return _csv_line(COLUMNS) + _rows(predictions, stamp, _csv_row)


def _rows(
    predictions: Iterable[Prediction], stamp: RunStamp, line: Callable[[_Record], bytes]
) -> bytes:
    return b"".join(line(vars(each) | vars(stamp)) for each in predictions)


def _from_csv(text: str) -> _Record:
    (cells,) = csv.reader(io.StringIO(text, newline=""), strict=True)
    record: _Record = dict(zip(COLUMNS, map(from_text, cells), strict=True))
    value = record["probability"]
    record["probability"] = probability(value) if value else None
    record["threshold"] = decimal(record["threshold"])
    return record


def _check(record: Any) -> None:
    """Raises ValueError unless a record has the columns, and those that are used have values."""
    if not isinstance(record, dict) or tuple(record) != COLUMNS:
        raise ValueError("not the columns of a prediction")
    texts = (record[name] for name in ("file", "path", "sha256", "call", "note"))
    value = record["probability"]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("not text")
    if value is not None and not (type(value) in (int, float) and 0 <= value <= 1):
        raise ValueError("not a probability")


def _json_line(record: _Record) -> bytes:
    ordered = {name: record[name] for name in COLUMNS}
    return (json.dumps(ordered, allow_nan=False) + "\n").encode()


def _csv_row(record: _Record) -> bytes:
    cells = [record[name] for name in COLUMNS]
    return _csv_line(
        as_text("; ".join(cell) if isinstance(cell, tuple) else cell) for cell in cells
    )


def _csv_line(cells: Iterable[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode(**_ENCODING)
