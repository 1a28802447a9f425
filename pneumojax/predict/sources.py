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


class Sources:
    """The inputs of a prediction, checked to exist.

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
        for name in inputs:
            if not _exists(name) and not _MAGIC & set(name):
                raise UserError(f"--mode=predict: {name!r} does not exist")
        self._inputs = inputs
        self.ignored = 0  # files of the folders that are no films, once `films` is through

    def films(self) -> Iterator[Path]:
        """Each film once for each time it is found; what cannot be read is among them."""
        self.ignored = 0
        visited: set[tuple[int, int]] = set()
        for name in self._inputs:
            path = Path(name).expanduser()
            if not _exists(name):
                for found in _matches(path):
                    yield from self._below(found, visited)
            elif path.is_dir():
                yield from self._below(path, visited)
            else:
                yield path

    def count(self) -> int:
        """How many films `films` will give, about: without a look into files of other names."""
        return sum(1 for _ in Sources._Quick(self._inputs).films())

    def _below(self, path: Path, visited: set[tuple[int, int]]) -> Iterator[Path]:
        if not _is_folder(path):
            if self._is_film(path):
                yield path
            else:
                self.ignored += 1
            return
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in visited:
                return
            visited.add((status.st_dev, status.st_ino))
            names = sorted(os.listdir(path))
        except OSError:
            yield path  # reading it as a film will say why it cannot be read
            return
        for name in names:
            if not name.startswith("."):
                yield from self._below(path / name, visited)

    def _is_film(self, path: Path) -> bool:
        if path.name.lower().endswith(SUFFIXES):
            return True
        if path.name in _NOT_FILMS or not path.is_file():
            return False
        try:
            with open(path, "rb") as stream:
                return kind_of(stream.read(HEAD)) is not None
        except OSError:
            return False
