"""Tells the films that a file of predictions has answered already from those it has not."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.predict.output import PredictionFile
from pneumojax.predict.reading import Read, Wanted
from pneumojax.predict.sources import Found

_MOST_NAMED = 3


class Resumed:
    """Tells new films from those of a file that is continued.

    A film is done if a row is of the same file, links followed, and of the same contents. Its
    contents are read and hashed for that, which costs little beside decoding.

    Args:
        predictions: the file; its rows decide.
        skip: called for each film that gets no row.
    """

    def __init__(self, predictions: PredictionFile, skip: Callable[[], None]):
        self._done = dict(predictions.done)
        self._names = set(predictions.names)
        self._met: set[str] = set()
        self._skip = skip
        self._changed: list[str] = []
        self._count_changed = 0

    def wanted(self, films: Iterable[Found]) -> Iterator[Wanted]:
        """Each film once, under whatever names it is found, with the digest that its row has."""
        for file, reason in films:
            path = os.path.realpath(file)
            if path in self._met:
                self._skip()
                continue
            self._met.add(path)
            yield Wanted(file, path, reason, self._done.get(path))

    def new(self, films: Iterable[Read]) -> Iterator[Read]:
        """Those without a row, each with a name for the column `file` that no other row has."""
        for read in films:
            if read.path not in self._done:
                # The same relative name from another folder is another film.
                name = read.path if read.file in self._names else read.file
                self._names.add(name)
                yield read._replace(file=name)
                continue
            self._skip()
            if read.sha256 != self._done[read.path]:
                self._count_changed += 1
                if len(self._changed) < _MOST_NAMED:
                    self._changed.append(read.file)

    def refuse_changed(self, output: Path) -> None:
        """Raises UserError if films have other contents than their rows are about."""
        if not self._count_changed:
            return
        more = self._count_changed - len(self._changed)
        names = ", ".join(map(repr, self._changed)) + (f" and {more:,} more" if more else "")
        raise UserError(
            f"--output: films have changed since their rows in {str(output)!r} were written, and "
            f"were not answered again: {names}; name another file for them"
        )
