"""Reads films in threads and decodes them in child processes, a little ahead of the network."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pneumojax.data.decoding import FilmError, Preprocessing, read_bytes
from pneumojax.data.formats import AnyFilm
from pneumojax.isolation.films import FilmDecoder
from pneumojax.predict.sources import Found

LARGEST_PREVIEW = 640  # pixels


class Read(NamedTuple):
    """One film decoded, or the reason why it is not; `preview` for an overlay alone."""

    file: Path
    film: AnyFilm | None
    note: str
    preview: np.ndarray | None


def make_reader(
    decoder: FilmDecoder, preprocessing: Preprocessing, with_preview: bool
) -> Callable[[Found], Read]:
    """`found -> Read`, for threads; a file that cannot be read is a note, never an exception."""
    side = LARGEST_PREVIEW if with_preview else 0

    def read(found: Found) -> Read:
        path, reason = found
        if reason:
            return Read(path, None, reason, None)
        try:
            film, preview = decoder.decode(read_bytes(path), preprocessing, preview_side=side)
        except FilmError as error:
            return Read(path, None, str(error), None)
        return Read(path, film, "", preview)

    return read


def read_ahead(films: Iterable[Found], read: Callable[[Found], Read], most: int) -> Iterator[Read]:
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
