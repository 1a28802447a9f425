"""The facts about the films of a stored set, in columns that are memory-mapped.

`films.bin` has a record for each film and `paths.bin` the paths, one after another. The system
reads the pages that are used, so ten million films take hardly more memory than ten thousand.
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from pneumojax.data.films import FilmFile

RECORD = np.dtype(
    [
        ("sha256", "u1", (32,)),
        ("size", "<i4", (2,)),  # width and height of the file's picture, pixels
        ("path_end", "<i8"),  # the position after the path in paths.bin, bytes
    ]
)
NAMES = ("films.bin", "paths.bin")


class Column(Sequence[str]):
    """One text for each film, made on access: a list of them would take 100 bytes a film."""

    def __init__(self, at: Callable[[int], str], rows: np.ndarray):
        self._at = at
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, film: int) -> str: ...
    @overload
    def __getitem__(self, film: slice) -> list[str]: ...
    def __getitem__(self, film: int | slice) -> str | list[str]:
        if isinstance(film, slice):
            return [self._at(int(row)) for row in self._rows[film]]
        return self._at(int(self._rows[film]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)


@dataclass(frozen=True)
class FilmIndex:
    """The known facts about the films of a stored set, or about some of them."""

    records: np.ndarray  # of dtype `RECORD`, mapped
    text: np.ndarray  # uint8, all paths, mapped
    rows: np.ndarray  # int64 (n,), the records of these films

    def __len__(self) -> int:
        return len(self.rows)

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """int32 (n, 2), width and height of the picture in each file, pixels."""
        return self.records["size"][self.rows].astype(np.int32)

    @property
    def paths(self) -> Column:
        """Paths relative to the root, sorted."""
        return Column(self._path, self.rows)

    @property
    def digests(self) -> Column:
        """SHA-256 of each file's bytes, 64 hex digits."""
        return Column(self._digest, self.rows)

    def _path(self, row: int) -> str:
        ends = self.records["path_end"]
        text = self.text[ends[row - 1] if row else 0 : ends[row]]
        return text.tobytes().decode("utf-8", "surrogateescape")

    def _digest(self, row: int) -> str:
        return self.records["sha256"][row].tobytes().hex()


@dataclass(frozen=True)
class DecodedFilm:
    """A film as the network sees it, and the file it came from."""

    pixels: np.ndarray  # uint8 (image_size, image_size)
    width: int  # of the upright picture in the file, pixels
    height: int
    data: bytes  # of the file
    sha256: str  # their digest, in hexadecimal digits
    header: dict[str, str]  # texts of a DICOM header by keyword; {} for other kinds


class IndexWriter(AbstractContextManager["IndexWriter"]):
    """Writes the two files of an index, film by film."""

    def __init__(self, folder: Path):
        self._films, self._paths = (open(folder / name, "wb") for name in NAMES)  # noqa: SIM115
        self._end = 0

    def add(self, file: FilmFile, film: DecodedFilm) -> None:
        """Appends one film."""
        path = file.path.encode("utf-8", "surrogateescape")
        self._end += len(path)
        self._paths.write(path)
        sha256 = np.frombuffer(bytes.fromhex(film.sha256), np.uint8)
        record = (sha256, (film.width, film.height), self._end)
        self._films.write(np.array(record, RECORD).tobytes())

    def __exit__(self, *exception: object) -> None:
        self._films.close()
        self._paths.close()


def open_index(folder: Path) -> FilmIndex:
    """Opens the index that an `IndexWriter` wrote."""
    records, text = (
        _mapped(folder / name, dtype) for name, dtype in zip(NAMES, (RECORD, np.uint8), strict=True)
    )
    return FilmIndex(records, text, np.arange(len(records)))


def group_numbers(values: Sequence[str]) -> np.ndarray:
    """int64 (n,), from 0 to 2 n: equal values get equal numbers, and other values other numbers."""
    hashes = np.fromiter(map(hash, values), np.int64, len(values))
    _, numbers, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    # Hashes take 8 bytes a film and a dictionary 200, so only films whose hashes agree are
    # compared by their values.
    seen: dict[str, int] = {}
    for film in np.flatnonzero(counts[numbers] > 1).tolist():
        numbers[film] = len(counts) + seen.setdefault(values[film], len(seen))
    return numbers


def _mapped(path: Path, dtype: Any) -> np.ndarray:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r"))
