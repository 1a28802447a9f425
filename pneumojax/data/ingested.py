"""Decoded films in shards, which a pipeline of Apache Beam writes (`pneumojax/beam/ingest.py`).

Several workers write the shards at once, and a training reads any film of any shard with one read.
The folder of an ingested split holds:

- `shards/<number>-of-<count>/`: an ordinary cache entry of consecutive films, with the CRC-32 of
  each film's pixels beside it. It appears complete or not at all.
- `index/`: the index, the rejected files and the facts of DICOM headers of all shards together. It
  is written last, so its presence tells that the shards are complete.
"""

import functools
import json
import os
import shutil
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pneumojax.data.cache_build import CHECKSUMS, IMAGES, REJECTED, PixelStore, checksum
from pneumojax.data.cache_check import fits, is_whole
from pneumojax.data.dicom_metadata import merge_facts
from pneumojax.data.films import FilmFile
from pneumojax.data.index import NAMES, RECORD, DecodedFilm, open_index
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.fields import is_count, is_text, list_of
from pneumojax.files import failing_clearly

SHARDS, INDEX = "shards", "index"
_COUNTS = "shards.json"  # the name and the number of readable films of each shard
_CRC = "crc32.bin"
_CRC_TYPE = np.dtype("<u4")
_THREADS = 4  # more would only wait for each other: a read of one film takes microseconds


class ShardPixelStore(PixelStore):
    """The pixels of one shard, and the CRC-32 of each film."""

    def __init__(self, folder: Path, files: Sequence[FilmFile], preprocessing: Preprocessing):
        super().__init__(folder, files, preprocessing)
        self._crc = folder / _CRC
        self._sums: list[int] = []

    def add(self, film: DecodedFilm) -> None:
        super().add(film)
        self._sums.append(zlib.crc32(film.pixels))

    def close(self) -> None:
        super().close()
        self._crc.write_bytes(np.array(self._sums, _CRC_TYPE).tobytes())


class _Place(NamedTuple):
    """The pixels of one shard in its file."""

    descriptor: int
    offset: int  # of the first film, bytes


class IngestedFilms:
    """Replaces the array of decoded films: the same pixels, read from shards on each access."""

    def __init__(self, place: Path, preprocessing: Preprocessing):
        self._place = place
        side = preprocessing.image_size
        counts = _counts(place)
        self._names = [name for name, _ in counts]
        self._ends = np.cumsum([films for _, films in counts])
        self._sums = np.fromfile(place / INDEX / _CRC, _CRC_TYPE)
        self.shape = (len(self._sums), side, side)
        self._pool = ThreadPoolExecutor(_THREADS, "ingested films")

    def take(self, rows: np.ndarray, axis: int = 0) -> np.ndarray:
        """uint8 (k, image_size, image_size) of k films.

        Raises:
            UserError: a shard is gone or damaged.
        """
        assert axis == 0  # the argument of np.ndarray.take
        pixels = np.empty((len(rows), *self.shape[1:]), np.uint8)

        def read(part: np.ndarray) -> None:
            for i in part.tolist():
                self._read(int(rows[i]), pixels[i])

        for _ in self._pool.map(read, np.array_split(np.arange(len(rows)), _THREADS)):
            pass
        return pixels

    def damaged(self) -> bool:
        """Reads the pixels of all films, and tells whether any differs from what was written."""
        try:
            for block in np.array_split(np.arange(len(self._sums)), len(self._sums) // 1024 + 1):
                self.take(block)
        except UserError:
            return True
        return False

    def _read(self, row: int, into: np.ndarray) -> None:
        shard = int(np.searchsorted(self._ends, row, side="right"))
        first = int(self._ends[shard - 1]) if shard else 0
        try:
            descriptor, offset = self._places[shard]
            read = os.preadv(descriptor, [into], offset + (row - first) * into.nbytes)
            reason = "" if read == into.nbytes else "it ends early"
        except OSError as error:
            reason = error.strerror or str(error)
        if not reason and zlib.crc32(into) != self._sums[row]:
            reason = "its checksum is wrong"
        if reason:
            raise UserError(
                f"{str(self._place / SHARDS / self._names[shard])!r} is damaged ({reason}); remove "
                f"{str(self._place)!r} and ingest the films again",
                flag="cache_dir",
            )

    @functools.cached_property
    def _places(self) -> list[_Place]:
        """The open files of all shards; they stay open until the process ends."""
        found = []
        for name in self._names:
            path = self._place / SHARDS / name / IMAGES
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            found.append(_Place(os.open(path, os.O_RDONLY | os.O_CLOEXEC), array.offset))
        return found


def is_ingested(place: Path, files: Sequence[FilmFile], preprocessing: Preprocessing) -> bool:
    """Whether the index is whole and matches the files, and every shard has the size it needs.

    The pixels are checked film by film as they are read.
    """
    index, side = place / INDEX, preprocessing.image_size
    try:
        if not (is_whole(index) and fits(index, files, None)):
            return False
        counts = _counts(place)
        films = sum(count for _, count in counts)
        return (
            (index / NAMES[0]).stat().st_size == films * RECORD.itemsize
            and (index / _CRC).stat().st_size == films * _CRC_TYPE.itemsize
            and all(_has_films(place / SHARDS / name, count, side) for name, count in counts)
        )
    except (OSError, ValueError, EOFError, RecursionError):
        return False


def _has_films(shard: Path, films: int, side: int) -> bool:
    images = np.load(shard / IMAGES, mmap_mode="r", allow_pickle=False)
    return (
        isinstance(images, np.memmap)
        and images.dtype == np.uint8
        and images.shape[1:] == (side, side)
        and len(images) >= films
        and images.flags.c_contiguous
    )


def _counts(place: Path) -> list[tuple[str, int]]:
    """The name and the number of readable films of each shard; ValueError if they are not that."""
    counts = json.loads((place / INDEX / _COUNTS).read_text())
    if not list_of(lambda entry: isinstance(entry, list) and len(entry) == 2)(counts):
        raise ValueError("not a list of shards")
    for name, films in counts:
        if not (is_text(name) and Path(name).name == name and is_count(films)):
            raise ValueError("not a shard and its number of films")
    return [(name, films) for name, films in counts]


def write_index(place: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    """Joins the indices of all shards, in their order, into `index/`.

    Its files equal those of one ordinary cache entry of the same films byte for byte.

    Args:
        names: the shards.
        columns: the columns of DICOM headers that are kept.

    Raises UserError if it cannot be written.
    """
    building = place / f"{INDEX}.building-{os.getpid()}"
    with failing_clearly(place, "cache_dir", "make room or name another folder"):
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        shards = [place / SHARDS / name for name in names]
        counts = _join_records(building, shards)
        rejected = [row for shard in shards for row in json.loads((shard / REJECTED).read_text())]
        (building / REJECTED).write_text(json.dumps(rejected))
        merge_facts(building, shards, counts, columns)
        (building / _COUNTS).write_text(json.dumps(list(zip(names, counts, strict=True))))
        checksums = {path.name: checksum(path) for path in sorted(building.iterdir())}
        (building / CHECKSUMS).write_text(json.dumps(checksums))
        for path in building.iterdir():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
        shutil.rmtree(place / INDEX, ignore_errors=True)
        building.rename(place / INDEX)


def _join_records(building: Path, shards: Sequence[Path]) -> list[int]:
    """Writes the records, paths and checksums of all shards; returns the films of each."""
    counts, end = [], 0
    with (
        open(building / NAMES[0], "wb") as records,
        open(building / NAMES[1], "wb") as paths,
        open(building / _CRC, "wb") as sums,
    ):
        for shard in shards:
            index = open_index(shard)
            joined = np.array(index.records)
            joined["path_end"] += end
            records.write(joined.tobytes())
            paths.write((shard / NAMES[1]).read_bytes())
            sums.write((shard / _CRC).read_bytes())
            end += len(index.text)
            counts.append(len(index))
    return counts
