"""Decodes films in threads, a little ahead of whoever takes them."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pneumojax.data.decoding import FilmError, Preprocessing, read_bytes
from pneumojax.data.formats import AnyFilm, decode_any, decode_any_grey
from pneumojax.predict.sources import Found

LARGEST_PREVIEW = 640  # pixels


class Read(NamedTuple):
    """One film decoded, or the reason why it is not; `preview` for an overlay alone."""

    file: Path
    film: AnyFilm | None
    note: str
    preview: np.ndarray | None


def make_reader(preprocessing: Preprocessing, with_preview: bool) -> Callable[[Found], Read]:
    """`found -> Read`, for threads; what cannot be read is a note, never an exception."""

    def read(found: Found) -> Read:
        path, reason = found
        if reason:
            return Read(path, None, reason, None)
        try:
            data = read_bytes(path)
            film = decode_any(data, preprocessing)
            preview = None
            if with_preview:
                picture = decode_any_grey(data)
                picture.thumbnail((LARGEST_PREVIEW, LARGEST_PREVIEW))
                preview = np.asarray(picture)
        except FilmError as error:
            return Read(path, None, str(error), None)
        return Read(path, film, "", preview)

    return read


def read_ahead(films: Iterable[Found], read: Callable[[Found], Read], most: int) -> Iterator[Read]:
    """Reads in order, by all cores, at most `most` films before they are asked for."""
    # Pillow and the codecs let go of the interpreter while they decode, so threads are enough.
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
