"""Lines, progress, durations and tables on the terminal, one way each.

The command line prints how a task goes. A program that imports PneumoJAX has an output of its own,
so the Python API runs the same tasks within `silent`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_is_silent: ContextVar[bool] = ContextVar("is_silent", default=False)
_WIDTH = 78  # columns that a rewritten line fills, to erase the end of a longer one
_PIPE_WIDTH = 10_000  # columns, more than any row of a table has
_TERMINAL_SECONDS = 0.2  # between two versions of a rewritten line


@contextmanager
def silent() -> Iterator[None]:
    """A block in which `say`, a console and `Progress` print nothing, in this thread alone."""
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)


def say(text: str) -> None:
    """Prints a line at once, unless this is `silent`."""
    if not _is_silent.get():
        print(text, flush=True)


def make_console(*, whole_names: bool = False) -> "Console":
    """A console for tables and coloured lines, which prints nothing if this is `silent`.

    Tables are as wide as a terminal, or as the variable COLUMNS says, or 80 columns in a pipe. With
    `whole_names` a pipe has no limit, so that file names in it can be searched and copied.
    """
    from rich.console import Console

    is_bounded = not whole_names or sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if is_bounded else _PIPE_WIDTH
    return Console(highlight=False, emoji=False, quiet=_is_silent.get(), width=width)


class Progress:
    """Shows now and then how far a long task is, unless the block is `silent`.

    On a terminal one line is rewritten five times a second. A file, a pipe or a function, such as
    print, gets a new line each time, at most every `seconds`.
    """

    def __init__(self, out: TextIO | Callable[[str], object], seconds: float = 10.0):
        self._out = out
        self._is_silent = _is_silent.get()
        self._rewrites = not callable(out) and out.isatty()
        self._seconds = _TERMINAL_SECONDS if self._rewrites else seconds
        self._shown = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time to show something; until then a caller need not format the line."""
        return time.monotonic() - self._shown >= self._seconds

    def show(self, text: str) -> None:
        """Shows how far the task is, on a terminal in place of what was shown before."""
        self._shown = time.monotonic()
        self._write(text, end="" if self._rewrites else "\n")

    def line(self, text: str) -> None:
        """Prints a line that stays."""
        self._write(text, end="\n")

    def close(self) -> None:
        """Wipes the line that is being rewritten, if there is one."""
        if self._rewrites:
            self._write("", end="\r")

    def _write(self, text: str, end: str) -> None:
        if self._is_silent:
            return
        if callable(self._out):
            self._out(text)
        else:
            print(f"\r{text:<{_WIDTH}}" if self._rewrites else text, end=end, file=self._out)
            self._out.flush()


def rate(done: int, total: int, seconds: float, *, earlier: int = 0) -> str:
    """Says how many films are done, how fast and how long the rest takes.

    `done` includes the films that an `earlier` run did; `seconds` are those of this run.
    """
    films_per_second = (done - earlier) / max(seconds, 1e-3)
    left = duration((total - done) / films_per_second) if films_per_second else "unknown time"
    return f"{done:,}/{total:,} films, {speed(films_per_second)}, {left} left"


def speed(films_per_second: float) -> str:
    """A number of films per second, with one decimal below 10 so that a slow one is not 0."""
    decimals = 1 if films_per_second < 9.95 else 0
    return f"{films_per_second:,.{decimals}f} films/s"


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as text, with its columns aligned on the left."""
    lines = (header, *rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
