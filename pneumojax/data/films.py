"""Finds the films of a folder in the Kaggle layout; only names, sizes and times are read."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from pneumojax.errors import UserError

CLASS_NAMES = ("NORMAL", "PNEUMONIA")  # the index is the label
SPLITS = ("train", "val", "test")
SUFFIXES = (".jpeg", ".jpg", ".png")
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
LAYOUT = "expected <root>/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg"

_HIDDEN = (".", "__MACOSX")  # prefixes of folders that operating systems add
_SHOWN = 5  # names in a message
_LOOKED_AT = 1000  # files of a folder that are searched for DICOM


@dataclass(frozen=True, slots=True)  # slots halve the memory, and there may be millions of files
class FilmFile:
    """One file that should be a film; its contents have not been read."""

    path: str  # relative to the root, with forward slashes
    split: str  # "train", "val", "test", or "all" in a folder without splits
    label: int
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True)
class FilmFolder:
    """The films under a root, sorted by path, and the other contents of the folder."""

    root: Path
    files: tuple[FilmFile, ...]
    named_by: str = "config.data.root"  # the user's flag or field; errors begin with it
    ignored: int = 0  # the number of other files
    # Folders with files that are not class folders, relative to the root, such as a third class.
    ignored_folders: tuple[str, ...] = ()

    @property
    def splits(self) -> list[str]:
        """The names of the splits that have files, sorted."""
        return sorted({film.split for film in self.files})

    def of_split(self, split: str) -> "FilmFolder":
        """The folder with the files of one split only; raises UserError if it has none."""
        files = tuple(file for file in self.files if file.split == split)
        if not files:
            raise UserError(
                f"{self.named_by}: split {split!r} of {str(self.root)!r} holds no film "
                f"{self._contents()}"
            )
        return replace(self, files=files)

    def only_split(self) -> str:
        """The one split that has films; raises UserError if several have, or none."""
        splits = self.splits
        if not splits:
            raise UserError(
                f"{self.named_by}: {str(self.root)!r} holds no JPEG or PNG film {self._contents()}"
            )
        if len(splits) > 1:
            raise UserError(
                f"{self.named_by}: {str(self.root)!r} has several splits ({', '.join(splits)}); "
                "name one with --split"
            )
        return splits[0]

    def _contents(self) -> str:
        others = f", {self.ignored:,} other files" if self.ignored else ""
        found = ", ".join(self.splits) or "none"
        return f"(splits with films: {found}{others}){_dicom_hint(self.root)}"


def find_films(root: Path, named_by: str = "config.data.root") -> FilmFolder:
    """Lists the films of a folder in the Kaggle layout.

    Only direct children of class folders count. Folder names and suffixes may be in any case.
    Hidden files, `__MACOSX`, other suffixes and a nested second copy are counted as ignored. Where
    the splits lie one folder further down, that folder is the root. A folder of the two classes
    alone is one split named "all".

    Raises:
        UserError: the root is missing, not a folder, cannot be read, or has no class folder.
    """
    if not root.is_dir():
        wrong = "is not a folder" if root.exists() else "does not exist"
        if root.name.lower().endswith(ARCHIVES):
            wrong += "; unpack it first"
        raise UserError(f"{named_by}: {str(root)!r} {wrong}; {LAYOUT}")
    try:
        root, splits = _locate_splits(root, named_by)
        return _scan(root, splits, named_by)
    except OSError as error:
        raise UserError(
            f"{named_by}: cannot read {str(error.filename)!r} ({error.strerror}); "
            "check its permissions"
        ) from error


def _locate_splits(root: Path, named_by: str) -> tuple[Path, dict[Path, str]]:
    """The folder that holds the split folders, and the split of each of them."""
    if splits := _split_folders(root):
        return root, splits
    if _class_folders(root):
        return root, {root: "all"}
    below = [(child, splits) for child in _subfolders(root) if (splits := _split_folders(child))]
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(repr(child.name) for child, _ in below)
        raise UserError(f"{named_by}: {str(root)!r} holds several data sets ({names}); name one")
    raise UserError(
        f"{named_by}: no NORMAL or PNEUMONIA folder in {str(root)!r} "
        f"(found {_listing(root)}){_dicom_hint(root)}; {LAYOUT}"
    )


def _listing(folder: Path) -> str:
    """A few names in a folder and, for each folder among them, a few names in that."""
    found = []
    for child in sorted(folder.iterdir())[:_SHOWN]:
        below = ""
        if child.is_dir():
            names = sorted(os.listdir(child))
            below = ", ".join(map(repr, names[:_SHOWN])) + ", ..." * (len(names) > _SHOWN)
            below = f" with {below or 'nothing'} in it"
        found.append(f"{child.name!r}{below}")
    return "; ".join(found) + "; ..." * (len(os.listdir(folder)) > _SHOWN) or "nothing"


def _dicom_hint(root: Path) -> str:
    """A sentence about DICOM files under the root, which the layout excludes; "" without any."""
    near = _subfolders(root)
    for folder in (root, *near, *(below for child in near for below in _subfolders(child))):
        for child in islice(folder.iterdir(), _LOOKED_AT):
            if child.suffix.lower() in DICOM_SUFFIXES and child.is_file():
                return (
                    f". {child.name!r} looks like DICOM: predict reads DICOM files, but "
                    "training and evaluation read JPEG and PNG only"
                )
    return ""


def _scan(root: Path, splits: dict[Path, str], named_by: str) -> FilmFolder:
    classes = {
        folder: (split, label)
        for parent, split in splits.items()
        for folder, label in _class_folders(parent).items()
    }
    films, ignored, folders = [], 0, []
    known = {root, *splits, *classes}
    for folder in known:
        prefix = folder.relative_to(root).as_posix()
        with os.scandir(folder) as entries:
            for entry in entries:
                if folder in classes and _looks_like_film(entry):
                    split, label = classes[folder]
                    status = entry.stat()
                    name = f"{prefix}/{entry.name}"
                    films.append(FilmFile(name, split, label, status.st_size, status.st_mtime_ns))
                elif Path(entry.path) not in known:
                    others = _count_files(entry)
                    ignored += others
                    # For a link to itself os.path.isdir is False, while entry.is_dir() raises.
                    is_folder = os.path.isdir(entry.path)
                    if others and is_folder and not entry.name.startswith(_HIDDEN):
                        folders.append(Path(entry.path).relative_to(root).as_posix())
    ordered = tuple(sorted(films, key=lambda film: film.path))
    return FilmFolder(root, ordered, named_by, ignored, tuple(sorted(folders)))


def _split_folders(folder: Path) -> dict[Path, str]:
    named = _named(folder, SPLITS)
    return {child: split for child, split in named.items() if _class_folders(child)}


def _class_folders(folder: Path) -> dict[Path, int]:
    return {child: CLASS_NAMES.index(name) for child, name in _named(folder, CLASS_NAMES).items()}


def _named(folder: Path, names: Sequence[str]) -> dict[Path, str]:
    """The subfolders that have one of the names, in any case, each with that name."""
    by_lower = {name.lower(): name for name in names}
    return {
        child: by_lower[child.name.lower()]
        for child in _subfolders(folder)
        if child.name.lower() in by_lower
    }


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        child for child in folder.iterdir() if not child.name.startswith(_HIDDEN) and child.is_dir()
    )


def _looks_like_film(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    if not name.endswith(SUFFIXES) or name.startswith("."):
        return False
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return False
        raise


def _count_files(entry: os.DirEntry[str]) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(names) for _, _, names in os.walk(entry.path))
