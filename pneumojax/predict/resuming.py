"""Tells the films that a prediction file already holds from those that are new."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.predict.output import PredictionFile
from pneumojax.predict.reading import FilmToRead, ReadFilm
from pneumojax.predict.sources import FoundFilm

_MOST_NAMED = 3


class Resumed:
    """Leaves out the films that a continued prediction file already holds.

    A film is done if a row has its path, with links resolved, and its digest. Every film's bytes
    are read and hashed for this, which is cheap compared with decoding.

    Args:
        predictions: the file whose rows decide.
        skip: called for each film that gets no new row.
    """

    def __init__(self, predictions: PredictionFile, skip: Callable[[], None]):
        self._done = dict(predictions.done)
        self._names = set(predictions.names)
        self._met: set[str] = set()
        self._skip = skip
        self._changed: list[str] = []
        self._count_changed = 0

    def wanted(self, films: Iterable[FoundFilm]) -> Iterator[FilmToRead]:
        """Each film once, however often and under whatever name it is found."""
        for found in films:
            path = os.path.realpath(found.path)
            if path in self._met:
                self._skip()
                continue
            self._met.add(path)
            yield FilmToRead(found.path, path, found.reason, self._done.get(path))

    def new(self, films: Iterable[ReadFilm]) -> Iterator[ReadFilm]:
        """The films without a row, each under a name that no other row has."""
        for read in films:
            if read.path not in self._done:
                # The same relative name from another folder is another film.
                name = read.path if read.file in self._names else read.file
                self._names.add(name)
                yield replace(read, file=name)
                continue
            self._skip()
            if read.sha256 != self._done[read.path]:
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
            f"--output: films have changed since their rows in {str(output)!r} were written, and "
            f"were not predicted again: {names}; name another file for them"
        )
