"""Streams films that would not fit decoded: TFDS shards hold their files, decoded on each access.

The shards are array records in the order of the index beside them, one film a record, so that any
film takes one read. Batches are bit for bit those that the cache of decoded films gives. A DICOM
file is stored as the PNG of its grey picture, since its header names the patient.
"""

import contextlib
import errno
import functools
import hashlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pneumojax.data.films import FilmFile
from pneumojax.data.index import DecodedFilm, FilmIndex
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_any_grey, decode_training_film
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError

NAME = "chest_xray_files"  # the name of the TFDS data set
_SPLIT = "films"
_SHARD_BYTES = 1 << 28
_MOST_SHARDS = 256  # each shard stays open after its first read
_PICTURE = b"picture of a DICOM file "  # stands before the SHA-256 of the PNG and the PNG itself
_DIGEST_BYTES = 32
_FILMS_AT_ONCE = 256  # TFDS rewrites the description of the set at each call


class ShardStore:
    """Writes the files of films into a data set for `tfds.builder_from_directory`."""

    verb = "checking and writing to shards"

    def __init__(self, folder: Path, files: Sequence[FilmFile], preprocessing: Preprocessing):
        del preprocessing  # films are stored at their full size
        total = sum(file.size for file in files)
        shards = min(_MOST_SHARDS, math.ceil(total / _SHARD_BYTES) or 1)
        identity = tfds.core.DatasetIdentity(
            name=NAME,
            version=tfds.core.Version("1.0.0"),
            data_dir=str(folder),
            module_name=__name__,
        )
        features = tfds.features.FeaturesDict(
            {"file": tfds.features.Tensor(shape=(), dtype=np.bytes_)}
        )
        description = "Chest films as files; labels, names and digests are in films.bin beside it."
        self._writer = tfds.core.SequentialWriter(
            tfds.core.DatasetInfo(builder=identity, features=features, description=description),
            max_examples_per_shard=math.ceil(len(files) / shards),
            file_format="array_record",
        )
        self._writer.initialize_splits([_SPLIT])
        self._waiting: list[dict[str, bytes]] = []

    def add(self, film: DecodedFilm) -> None:
        self._waiting.append({"file": _picture(film.data) if film.header else film.data})
        if len(self._waiting) >= _FILMS_AT_ONCE:
            self._write()

    def close(self) -> None:
        """Writes the remaining films and TFDS's description of the set."""
        self._write()
        with _as_os_error():
            self._writer.close_all()

    def _write(self) -> None:
        with _as_os_error():
            self._writer.add_examples({_SPLIT: self._waiting})
        self._waiting = []


class StreamedFilms:
    """Replaces the array of decoded films: the same pixels, decoded on each access."""

    def __init__(self, entry: Path, index: FilmIndex, preprocessing: Preprocessing):
        side = preprocessing.image_size
        self.shape = (len(index), side, side)
        self._entry = entry
        self._index = index
        self._preprocessing = preprocessing
        self._pool = ThreadPoolExecutor(os.cpu_count(), "films")

    def take(self, rows: np.ndarray, axis: int = 0) -> np.ndarray:
        """uint8 (k, image_size, image_size) of k films, read and decoded on all cores.

        Raises:
            UserError: a shard is gone or damaged.
        """
        assert axis == 0  # the argument of np.ndarray.take
        pixels = np.empty((len(rows), *self.shape[1:]), np.uint8)

        def read(place: int) -> None:
            row = int(rows[place])
            try:
                film = decode_training_film(self._file(row), self._preprocessing)
                pixels[place] = film.pixels
            except (FilmError, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise UserError(
                    f"the shards in {str(self._entry)!r} are damaged at film "
                    f"{self._index.paths[row]!r} ({reason}); start again with --verify_films, "
                    "which writes them again",
                    flag="cache_dir",
                ) from error

        for _ in self._pool.map(read, range(len(rows))):
            pass
        return pixels

    def damaged(self) -> bool:
        """Reads the files of all films, and tells whether any differs from what was written."""

        def is_damaged(row: int) -> bool:
            try:
                self._file(row)
            except (FilmError, OSError):
                return True
            return False

        blocks = np.array_split(np.arange(len(self._index)), len(self._index) // 1024 + 1)
        return any(any(self._pool.map(is_damaged, block.tolist())) for block in blocks)

    def _file(self, row: int) -> bytes:
        """A film's file, checked by its digest: a file with a flipped bit may still decode."""
        with _as_os_error():
            data = self._source[row]["file"]
        digest = self._index.records["sha256"][row].tobytes()
        if data.startswith(_PICTURE):
            data = data[len(_PICTURE) :]
            digest, data = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(data).digest() != digest:
            raise FilmError("not the file that was stored")
        return data

    @functools.cached_property
    def _source(self) -> Any:
        return tfds.builder_from_directory(str(self._entry)).as_data_source(_SPLIT)


def _picture(dicom: bytes) -> bytes:
    """The film of a DICOM file that a child process has decoded before, without its header."""
    stream = io.BytesIO()
    decode_any_grey(dicom).save(stream, "PNG")
    png = stream.getvalue()
    return _PICTURE + hashlib.sha256(png).digest() + png


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """Array records report errors of the system and of their checksums as RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(errno.EIO, str(error).split(";")[0]) from error
