"""Finds the films that a user names: files, folders and patterns, one at a time, in fixed order."""

import os
from collections.abc import Iterator
from pathlib import Path

from pneumojax.data.formats import HEAD, kind_of
from pneumojax.errors import UserError

# What calls itself a picture is answered or named as bad. Other files of a folder count as films
# if their contents do: archives store DICOM under names without a suffix.
SUFFIXES = (
    *(".jpeg", ".jpg", ".png", ".webp", ".tif", ".tiff", ".dcm", ".dicom"),
    *(".gif", ".bmp", ".jp2"),  # not read, but not passed over in silence
)
_NOT_FILMS = ("DICOMDIR",)  # an archive's table of contents
_MAGIC = frozenset("*?[")


Found = tuple[Path, str]  # a film, and why it cannot be read where that is known already


class Sources:
    """The inputs of a prediction, checked to be there.

    Folders are searched wholly, names sorted, dot-files left out. A folder that is reached again,
    by a symbolic link or by another pattern, is searched once.

    Args:
        inputs: files, folders, and patterns with `*`, `?`, `[...]` and `**`.

    Raises:
        UserError: nothing is named, or something that is not there.
    """

    def __init__(self, inputs: list[str]):
        if not inputs:
            raise UserError("--mode=predict: name at least one film, folder or pattern")
        self._inputs = [Path(name).expanduser() for name in inputs]
        for path in self._inputs:
            if not _is_there(path):
                wrong = "matches nothing" if _is_pattern(path) else "does not exist"
                if next(iter(_matches(path)), None) is None:
                    raise UserError(f"--mode=predict: {str(path)!r} {wrong}")
        self.ignored = 0  # files in folders that are no films, as far as `films` has come

    def films(self) -> Iterator[Found]:
        """Each film as often as it is found; what cannot be read is among them."""
        self.ignored = 0
        visited: set[tuple[int, int]] = set()
        for path in self._inputs:
            if not _is_there(path):
                for found in _matches(path):
                    yield from self._below(found, visited)
            elif os.path.isdir(path):
                yield from self._below(path, visited)
            else:
                yield path, ""

    def count(self) -> int:
        """How many `films` gives."""
        return sum(1 for _ in self.films())

    def refuse_inside(self, folder: Path, flag: str) -> None:
        """Raises UserError if a folder to write to lies in one to read from."""
        for path in self._inputs:
            if os.path.isdir(path) and folder.is_relative_to(path.resolve()):
                raise UserError(f"{flag}: {str(folder)!r} is a folder of films; name another")

    def _below(self, path: Path, visited: set[tuple[int, int]]) -> Iterator[Found]:
        if not os.path.isdir(path):
            if _is_film(path):
                yield path, ""
            else:
                self.ignored += 1
            return
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in visited:
                return
            visited.add((status.st_dev, status.st_ino))
            names = sorted(os.listdir(path))
        except OSError as error:
            yield path, f"folder cannot be read: {error.strerror}"
            return
        for name in names:
            if not name.startswith("."):
                yield from self._below(path / name, visited)


def _is_film(path: Path) -> bool:
    if path.name.lower().endswith(SUFFIXES):
        return True
    if path.name in _NOT_FILMS or not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as stream:
            return kind_of(stream.read(HEAD)) is not None
    except OSError:
        return False


def _is_there(path: Path) -> bool:
    """Also where its folder does not let one see: reading it will say so."""
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
    """Sorted, without what lies behind names with a dot that the pattern does not name."""
    if not _is_pattern(pattern):
        return []
    # Unlike the module glob, a Path follows no links at `**`, which might lead round in a circle.
    found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    named = set(pattern.parts)
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") and part not in named for part in path.parts)
    )
