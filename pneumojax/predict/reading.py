"""Reads films in threads and decodes them in child processes, a little ahead of the network."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import AnyFilm
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.isolation.films import FilmDecoder

LARGEST_PREVIEW = 640  # pixels


@dataclass(frozen=True)
class FilmToRead:
    """A film that was found.

    file: its name as it was found.
    path: absolute, with links resolved.
    reason: why it cannot be read, if that is already known, or "".
    digest: of its row in the output; None if it has no row.
    """

    file: Path
    path: str
    reason: str
    digest: str | None


@dataclass(frozen=True)
class ReadFilm:
    """A film after reading.

    file, path: as in `FilmToRead`.
    sha256: of its bytes, in hexadecimal digits; "" if they cannot be read.
    film: the decoded film; None if it cannot be decoded, or already has a row.
    note: why it cannot be decoded, or "".
    preview: uint8 (h, w), for an overlay; None if no overlays are drawn.
    """

    file: str
    path: str
    sha256: str = ""
    film: AnyFilm | None = None
    note: str = ""
    preview: np.ndarray | None = None


def make_reader(
    decoder: FilmDecoder, preprocessing: Preprocessing, with_preview: bool
) -> Callable[[FilmToRead], ReadFilm]:
    """A function that reads one film, for use in threads.

    An unreadable file becomes a note and never an exception.
    """
    side = LARGEST_PREVIEW if with_preview else 0

    def read(found: FilmToRead) -> ReadFilm:
        result = ReadFilm(str(found.file), found.path, note=found.reason)
        if found.reason:
            return result
        try:
            data = read_bytes(found.file)
            result = replace(result, sha256=hashlib.sha256(data).hexdigest())
            if found.digest is not None:
                return result
            film, preview = decoder.decode(data, preprocessing, preview_side=side)
        except FilmError as error:
            return replace(result, note=str(error))
        return replace(result, film=film, preview=preview)

    return read


def read_ahead(
    films: Iterable[FilmToRead], read: Callable[[FilmToRead], ReadFilm], most: int
) -> Iterator[ReadFilm]:
    """Reads films in order on all cores, at most `most` of them ahead of the caller."""
    # Each thread waits for a child process that decodes.
    pool = ThreadPoolExecutor(os.cpu_count())
    waiting: deque[Future[ReadFilm]] = deque()
    try:
        for found in films:
            waiting.append(pool.submit(read, found))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def batched(films: Iterable[ReadFilm], size: int) -> Iterator[list[ReadFilm]]:
    """Lists of `size` films; the last list may be shorter."""
    batch: list[ReadFilm] = []
    for film in films:
        batch.append(film)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
