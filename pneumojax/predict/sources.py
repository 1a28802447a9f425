"""Finds the films that a user names by files, folders and patterns, always in the same order."""

import itertools
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from pneumojax.data.naming import Columns
from pneumojax.data.table import TABLES, read_unlabelled
from pneumojax.data.table_paths import TablePaths
from pneumojax.decoding.formats import HEAD, kind_of
from pneumojax.errors import UserError

# Every file with such a suffix is predicted, or reported as unreadable. Other files of a folder are
# recognised by their contents, since archives store DICOM under names without a suffix.
SUFFIXES = (
    *(".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff", ".dcm", ".dicom"),
    *(".gif", ".bmp", ".jp2"),  # not supported, but reported to the user
)
_NOT_FILMS = ("DICOMDIR",)  # an archive's table of contents
_MAGIC = frozenset("*?[")
DEFAULT_COLUMNS = Columns()


class FoundFilm(NamedTuple):
    """A film that was found.

    reason: why it cannot be read, if that is already known.
    patient: the identifier that a table gives its patient, or "".
    """

    path: Path
    reason: str = ""
    patient: str = ""


class Sources:
    """The inputs of a prediction, all of which exist.

    They are files, folders, tables of films in CSV files, and patterns with `*`, `?`, `[...]` and
    `**`. Folders are searched with everything below them, in the order of names, without dot-files.
    A folder that is reached again, by a symbolic link or another pattern, is searched only once.
    """

    def __init__(self, inputs: list[str], columns: Columns = DEFAULT_COLUMNS):
        if not inputs:
            raise UserError("predict: name at least one film, folder or pattern")
        self._inputs = [_expanded(name) for name in inputs]
        for path in self._inputs:
            if not _is_there(path) and not _matches(path):
                wrong = "matches nothing" if _is_pattern(path) else "does not exist"
                raise UserError(f"predict: {str(path)!r} {wrong}")
        self._columns = columns  # of tables
        self.ignored = 0  # other files in the folders that `films` has searched so far

    def films(self) -> Iterator[FoundFilm]:
        """Every film that is found, readable or not; one that is found twice comes twice."""
        self.ignored = 0
        visited: set[tuple[int, int]] = set()
        for path in self._inputs:
            if not _is_there(path):
                for found in _matches(path):
                    yield from self._below(found, visited)
            elif os.path.isdir(path):
                yield from self._below(path, visited)
            elif path.suffix.lower() in TABLES:
                yield from _of_table(path, self._columns)
            else:
                yield FoundFilm(path)

    def refuse_inside(self, overlays: Path) -> None:
        """Refuses a resolved folder for overlays that is searched for films."""
        for path in self._inputs:
            inside = os.path.isdir(path) and overlays.is_relative_to(path.resolve())
            if inside or _matches_inside(path, overlays):
                raise UserError(
                    f"{str(overlays)!r} is a folder of films; name another", flag="overlays"
                )

    def _below(self, top: Path, visited: set[tuple[int, int]]) -> Iterator[FoundFilm]:
        # A stack instead of recursion: folders may be nested deeper than Python's call stack.
        stack = [top]
        while stack:
            path = stack.pop()
            if not os.path.isdir(path):
                if _is_film(path):
                    yield FoundFilm(path)
                else:
                    self.ignored += 1
                continue
            try:
                status = path.stat()
                if (status.st_dev, status.st_ino) in visited:
                    continue
                visited.add((status.st_dev, status.st_ino))
                names = sorted(os.listdir(path), reverse=True)
            except OSError as error:
                yield FoundFilm(path, f"folder cannot be read: {error.strerror}")
                continue
            stack.extend(path / name for name in names if not name.startswith("."))


def _of_table(table: Path, columns: Columns) -> Iterator[FoundFilm]:
    """The films of a table in its order; no columns but those of paths and patients are read."""
    listed = read_unlabelled(table, "predict", columns)
    paths = TablePaths.of((film.path for film in listed), table, None)
    for film in listed:
        found = paths.find(film.path)
        if isinstance(found, str):
            yield FoundFilm(paths.base / film.path, found, film.patient)
        else:
            yield FoundFilm(paths.base / found.name, patient=film.patient)


def _expanded(name: str) -> Path:
    if not name:  # an empty path would mean the whole working directory
        raise UserError("predict: an empty name; name films, folders or patterns of films")
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UserError(f"predict: {name!r} is not a path: {error}") from error


def _matches_inside(path: Path, folder: Path) -> bool:
    """Whether a pattern matches `folder`, a folder above it, or a file that is written into it."""
    if _is_there(path) or not _is_pattern(path):
        return False
    parts = path.parts
    pattern = tuple(itertools.dropwhile(lambda part: not _MAGIC & set(part), parts))
    base = Path(*parts[: len(parts) - len(pattern)]).resolve()
    if not folder.is_relative_to(base):
        return False
    written = (*folder.relative_to(base).parts, "picture.png")
    # A matched folder is searched with everything below it, so any leading part counts.
    return any(_matches_parts(written[:n], pattern) for n in range(1, len(written) + 1))


def _matches_parts(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        rest = pattern[1:]
        return any(_matches_parts(names[n:], rest) for n in range(len(names) + 1)) or not rest
    return (
        bool(names) and fnmatchcase(names[0], pattern[0]) and _matches_parts(names[1:], pattern[1:])
    )


def _is_film(path: Path) -> bool:
    if path.name.lower().endswith(SUFFIXES):
        return True
    if path.name in _NOT_FILMS or not os.path.isfile(path):
        return False
    try:
        # O_NONBLOCK, since the file may have become a pipe by now: opening that would wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return False
            return kind_of(stream.read(HEAD)) is not None
    except OSError:
        return False


def _is_there(path: Path) -> bool:
    """Whether a path exists. If its folder cannot be searched, reading it reports that later."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass
    return True


def _is_pattern(path: Path) -> bool:
    return bool(_MAGIC & set(str(path)))


def _matches(pattern: Path) -> list[Path]:
    """Sorted matches, without hidden files and folders that the pattern does not name."""
    if not _is_pattern(pattern):
        return []
    # Unlike the glob module, Path.glob follows no links at `**`, so links cannot form a circle.
    found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    named = set(pattern.parts)
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") and part not in named for part in path.parts)
    )
