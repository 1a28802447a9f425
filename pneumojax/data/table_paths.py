"""Finds the files that the paths of a table mean."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import NamedTuple

_MISSING = "there is no such file"
_ELSEWHERE = "there is no such file; its path is absolute, perhaps that of another machine"


class FoundFile(NamedTuple):
    """A file of a table."""

    name: str  # relative to the base, with forward slashes; absolute if it lies elsewhere
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True)
class TablePaths:
    """The folders in which the paths of a table are looked for."""

    base: Path  # absolute; relative paths begin here
    # The folder that all absolute paths of the table have in common. If the user names a root,
    # an absolute path that does not exist is looked for in the root, by the part after this folder.
    common: PurePath | None
    has_root: bool

    @classmethod
    def of(cls, paths: Iterable[str], table: Path, root: Path | None) -> "TablePaths":
        """The folders for the paths of a table, whose relative paths begin at `root` if given."""
        base = Path(os.path.abspath(table.parent if root is None else root))
        folders = {pure.parent for path in paths if (pure := _absolute(path)) is not None}
        return cls(base, _common(folders), root is not None)

    def find(self, path: str) -> FoundFile | str:
        """The file of one path, or the reason why there is none."""
        for name in self._names(path):
            try:
                status = os.stat(self.base / name)
            except (OSError, ValueError):  # a ValueError for a null character
                continue
            if not stat.S_ISREG(status.st_mode):
                return "it is not a file"
            return FoundFile(name, status.st_size, status.st_mtime_ns)
        return _MISSING if _absolute(path) is None else _ELSEWHERE

    def advice(self, reason: str) -> str:
        """The remedy for a table of which no row can be used, for a reason of `find` or another."""
        if reason == _MISSING:
            return f" in {str(self.base)!r}; name the folder of the films with config.data.root"
        if reason == _ELSEWHERE and self.has_root:
            return (
                f". In {str(self.base)!r} there is none by the part of its path that comes after "
                f"{str(self.common)!r} either"
            )
        if reason == _ELSEWHERE:
            return (
                ". With --config.data.root=<folder> the part of each path that comes after "
                f"{str(self.common)!r} is looked for in that folder"
            )
        return ""

    def _names(self, path: str) -> Iterator[str]:
        """The names under which a path may be found, relative to the base if they lie below it."""
        pure = _absolute(path)
        if pure is None:
            yield os.path.normpath(path)
            if "\\" in path:
                yield os.path.normpath(path.replace("\\", "/"))
            return
        if isinstance(pure, PurePosixPath):
            name = os.path.normpath(path)
            inside = PurePosixPath(name).is_relative_to(self.base)
            yield str(PurePosixPath(name).relative_to(self.base)) if inside else name
        if self.has_root and self.common is not None:
            yield pure.relative_to(self.common).as_posix()


def _absolute(path: str) -> PurePath | None:
    """An absolute path, of this or of another kind of system; None for a relative path."""
    if path.startswith("/"):
        return PurePosixPath(path)
    windows = PureWindowsPath(path)
    return windows if windows.drive and windows.root else None


def _common(folders: Iterable[PurePath]) -> PurePath | None:
    """The folder that contains all of the folders; None if there is none."""
    ordered = sorted(folders, key=str)
    if not ordered:
        return None
    first, *others = ordered
    for folder in (first, *first.parents):
        if all(type(other) is type(first) and other.is_relative_to(folder) for other in others):
            return folder
    return None
