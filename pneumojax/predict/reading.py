"""Reads films in threads and decodes them in child processes, a little ahead of the network."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import AnyFilm
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.isolation.films import FilmDecoder

LARGEST_PREVIEW = 640  # pixels


class Wanted(NamedTuple):
    """A film to read.

    file: as it was found.
    path: the same, absolute and with links followed.
    reason: why it cannot be read, where that is known already.
    before: the digest of its row in the output, None where it has none.
    """

    file: Path
    path: str
    reason: str
    before: str | None


class Read(NamedTuple):
    """One film decoded, or the reason in `note` why it is not.

    file, path: as in `Wanted`.
    sha256: of its bytes, in hexadecimal digits; "" where they could not be read.
    film: None also where its row is there already.
    preview: for an overlay alone.
    """

    file: str
    path: str
    sha256: str
    film: AnyFilm | None
    note: str
    preview: np.ndarray | None


def make_reader(
    decoder: FilmDecoder, preprocessing: Preprocessing, with_preview: bool
) -> Callable[[Wanted], Read]:
    """`wanted -> Read`, for threads; a file that cannot be read is a note, never an exception."""
    side = LARGEST_PREVIEW if with_preview else 0

    def read(wanted: Wanted) -> Read:
        none = Read(str(wanted.file), wanted.path, "", None, wanted.reason, None)
        if wanted.reason:
            return none
        try:
            data = read_bytes(wanted.file)
        except FilmError as error:
            return none._replace(note=str(error))
        none = none._replace(sha256=hashlib.sha256(data).hexdigest())
        if wanted.before is not None:
            return none
        try:
            film, preview = decoder.decode(data, preprocessing, preview_side=side)
        except FilmError as error:
            return none._replace(note=str(error))
        return none._replace(film=film, preview=preview)

    return read


def read_ahead(
    films: Iterable[Wanted], read: Callable[[Wanted], Read], most: int
) -> Iterator[Read]:
    """Reads in order, by all cores, at most `most` films before they are asked for."""
    # Each thread waits for a child process that decodes.
    pool = ThreadPoolExecutor(os.cpu_count())
    waiting: deque[Future[Read]] = deque()
    try:
        for found in films:
            waiting.append(pool.submit(read, found))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def batched(films: Iterable[Read], size: int) -> Iterator[list[Read]]:
    """Lists of `size` films, the last one shorter."""
    batch: list[Read] = []
    for film in films:
        batch.append(film)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
