"""Reads films in threads and decodes them in child processes, a little ahead of the network.

Films that the prediction file already holds are left out.
"""

import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError, UnfinishedDecoding
from pneumojax.decoding.formats import AnyFilm
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.isolation.films import FilmDecoder
from pneumojax.predict.output import PredictionFile
from pneumojax.predict.sources import FoundFilm

LARGEST_PREVIEW = 640  # pixels
_MOST_NAMED = 3


@dataclass(frozen=True)
class ReadFilm:
    """A film before and after it is read.

    Before, only `file`, `path`, `note`, `load` and `patient` are set.

    file: its name as it was found.
    path: absolute, with links resolved; "" for a film that is not a file.
    sha256: of its bytes, in hexadecimal digits; "" if they cannot be read.
    film: the decoded film; None if it cannot be decoded, or already has a row.
    note: why it cannot be read, or "".
    unfinished: whether that is the machine's fault, so that another try may succeed.
    preview: uint8 (h, w), for an overlay; None if no overlays are drawn.
    load: returns the bytes of a film that is not a file, or raises FilmError; None for a file.
    patient: the identifier of its patient, or "" if it is not known.
    """

    file: str
    path: str
    sha256: str = ""
    film: AnyFilm | None = None
    note: str = ""
    unfinished: bool = False
    preview: np.ndarray | None = None
    load: Callable[[], bytes] | None = None
    patient: str = ""

    @classmethod
    def of_file(cls, found: FoundFilm) -> "ReadFilm":
        """A file that was found, not read yet."""
        path = os.path.realpath(found.path)
        return cls(str(found.path), path, note=found.reason, patient=found.patient)


def make_reader(
    decoder: FilmDecoder, preprocessing: Preprocessing, done: Collection[str], with_preview: bool
) -> Callable[[ReadFilm], ReadFilm]:
    """A function that reads one film, for use in threads.

    An unreadable file becomes a note and never an exception. The films of the paths `done` are
    only hashed.
    """
    side = LARGEST_PREVIEW if with_preview else 0

    def read(film: ReadFilm) -> ReadFilm:
        if film.note:
            return film
        try:
            data = film.load() if film.load else read_bytes(Path(film.file))
            film = replace(film, sha256=hashlib.sha256(data).hexdigest())
            if film.path in done:
                return film
            decoded, preview = decoder.decode(data, preprocessing, preview_side=side)
        except FilmError as error:
            unfinished = isinstance(error, UnfinishedDecoding)
            return replace(film, note=str(error), unfinished=unfinished)
        return replace(film, film=decoded, preview=preview)

    return read


@contextmanager
def reading_ahead(
    films: Iterable[ReadFilm], read: Callable[[ReadFilm], ReadFilm], most: int
) -> Iterator[Iterator[ReadFilm]]:
    """A block in which films are read on all cores: an iterator over them in their order.

    Reading begins with the block, and is at most `most` films ahead of the iterator.
    """
    # Each thread waits for a child process that decodes.
    pool = ThreadPoolExecutor(os.cpu_count())
    unread = iter(films)
    waiting = deque(pool.submit(read, film) for film in itertools.islice(unread, most))

    def in_order() -> Iterator[ReadFilm]:
        while waiting:
            first = waiting.popleft()
            waiting.extend(pool.submit(read, film) for film in itertools.islice(unread, 1))
            yield first.result()

    try:
        yield in_order()
    finally:
        pool.shutdown(cancel_futures=True)


class Resumed:
    """Leaves out the films that a continued prediction file already holds.

    A film is done if a row has its path, with links resolved, and its digest. Every film's bytes
    are read and hashed for this, which is cheap compared with decoding. `skip` is called for each
    film that gets no new row.
    """

    def __init__(self, predictions: PredictionFile, skip: Callable[[], None]):
        self.done = dict(predictions.done)
        self._names = set(predictions.names)
        self._met: set[str] = set()
        self._skip = skip
        self._changed: list[str] = []
        self._count_changed = 0

    def wanted(self, films: Iterable[FoundFilm]) -> Iterator[ReadFilm]:
        """Each film once, even if it is found under several names."""
        for found in films:
            film = ReadFilm.of_file(found)
            if film.path in self._met:
                self._skip()
                continue
            self._met.add(film.path)
            yield film

    def new(self, films: Iterable[ReadFilm]) -> Iterator[ReadFilm]:
        """The films without a row, each under a name that no other row has."""
        for read in films:
            if read.path not in self.done:
                # The same relative name from another folder is another film.
                name = read.path if read.file in self._names else read.file
                self._names.add(name)
                yield replace(read, file=name)
                continue
            self._skip()
            if read.sha256 != self.done[read.path]:
                self._count_changed += 1
                if len(self._changed) < _MOST_NAMED:
                    self._changed.append(read.file)

    def refuse_changed(self, output: Path) -> None:
        """Raises UserError if the contents of films have changed since their rows were written."""
        if not self._count_changed:
            return
        more = self._count_changed - len(self._changed)
        names = ", ".join(map(repr, self._changed)) + (f" and {more:,} more" if more else "")
        raise UserError(
            f"films have changed since their rows in {str(output)!r} were written, and were not "
            f"predicted again: {names}; name another file for them",
            flag="output",
        )
