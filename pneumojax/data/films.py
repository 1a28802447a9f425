"""Finds the films of a folder in the Kaggle layout, whatever else lies there.

For everything that reads folders: the cache and the TFDS builder.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pneumojax.errors import UserError

CLASS_NAMES = ("NORMAL", "PNEUMONIA")  # the index is the label
SPLITS = ("train", "val", "test")
SUFFIXES = (".jpeg", ".jpg", ".png")

_NO_FILMS = (".", "__MACOSX")  # folders of the system begin with these

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")

DICOM_SUFFIXES = (".dcm", ".dicom", ".dic")

_SHOWN = 5  # names in a message
_LOOKED_AT = 1000  # files of a folder among which DICOM is looked for

LAYOUT = "expected <root>/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg"


@dataclass(frozen=True, slots=True)  # half the memory, and there may be millions
class FilmFile:
    """One file that should be a film; nothing of its contents has been read."""

    path: str  # relative to the root, with forward slashes
    split: str  # "train", "val", "test", or "all" where the folder has no splits
    label: int
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True)
class Folder:
    """The films under a root, sorted by path, and what else lies there.

    ignored: how many other files.
    ignored_folders: folders beside the class folders, relative to the root, in which are files;
        a third class would be one.
    """

    root: Path
    files: tuple[FilmFile, ...]
    ignored: int
    ignored_folders: tuple[str, ...] = ()


def find_films(root: Path) -> Folder:
    """Lists the films of a folder in the Kaggle layout, whatever else the archive left there.

    Only direct children of class folders count. Folder names and suffixes may be in any case;
    dot-files, `__MACOSX`, other suffixes and a nested second copy are left out and counted.
    Where the splits lie one folder further down, that folder is the root; a folder of
    the two classes alone is accepted as one split named "all".

    Raises:
        UserError: the root is missing, not a folder, cannot be read, or has no class folder.
    """
    if not root.is_dir():
        wrong = "is not a folder" if root.exists() else "does not exist"
        if root.name.lower().endswith(ARCHIVES):
            wrong += "; unpack it first"
        raise UserError(f"data.root: {str(root)!r} {wrong}; {LAYOUT}")
    try:
        root, splits = _locate_splits(root)
        films, ignored, folders = _scan(root, splits)
    except OSError as error:
        raise UserError(
            f"data.root: cannot read {str(error.filename)!r} ({error.strerror}); "
            "check its permissions"
        ) from error
    ordered = tuple(sorted(films, key=lambda film: film.path))
    return Folder(root, ordered, ignored, tuple(sorted(folders)))


def seen_in(folder: Folder) -> str:
    """The contents of a folder that lacks the films asked for, in brackets."""
    splits = ", ".join(sorted({film.split for film in folder.files}))
    others = f", {folder.ignored:,} other files" if folder.ignored else ""
    return f"(splits with films: {splits or 'none'}{others}){_hint(folder.root)}"


def _locate_splits(root: Path) -> tuple[Path, dict[Path, str]]:
    """The folder to call root, and the split that each of its split folders holds."""
    if splits := _split_folders(root):
        return root, splits
    if _class_folders(root):
        return root, {root: "all"}
    below = [(child, splits) for child in _subfolders(root) if (splits := _split_folders(child))]
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(repr(child.name) for child, _ in below)
        raise UserError(f"data.root: {str(root)!r} holds several data sets ({names}); name one")
    raise UserError(
        f"data.root: no NORMAL or PNEUMONIA folder in {str(root)!r} "
        f"(found {_contents(root)}){_hint(root)}; {LAYOUT}"
    )


def _contents(folder: Path) -> str:
    """A few names in a folder and, of each folder among them, a few names below it."""
    found = []
    for child in sorted(folder.iterdir())[:_SHOWN]:
        below = ""
        if child.is_dir():
            names = sorted(os.listdir(child))
            below = ", ".join(map(repr, names[:_SHOWN])) + ", ..." * (len(names) > _SHOWN)
            below = f" with {below or 'nothing'} in it"
        found.append(f"{child.name!r}{below}")
    return "; ".join(found) + "; ..." * (len(os.listdir(folder)) > _SHOWN) or "nothing"


def _hint(root: Path) -> str:
    """A sentence on DICOM files, which have no place in the layout; "" where there is none."""
    near = _subfolders(root)
    for folder in (root, *near, *(below for child in near for below in _subfolders(child))):
        for child in islice(folder.iterdir(), _LOOKED_AT):
            if child.suffix.lower() in DICOM_SUFFIXES and child.is_file():
                return (
                    f". {child.name!r} looks like DICOM: --mode=predict reads DICOM files, but "
                    "training and evaluation read JPEG and PNG only"
                )
    return ""


def _scan(root: Path, splits: dict[Path, str]) -> tuple[list[FilmFile], int, list[str]]:
    """The films in the class folders, the number of other files and the folders of such."""
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
                    # os.path.isdir takes a link to itself for no folder; entry.is_dir() raises.
                    is_folder = os.path.isdir(entry.path)
                    if others and is_folder and not entry.name.startswith(_NO_FILMS):
                        folders.append(Path(entry.path).relative_to(root).as_posix())
    return films, ignored, folders


def _split_folders(folder: Path) -> dict[Path, str]:
    named = _named(folder, SPLITS)
    return {child: split for child, split in named.items() if _class_folders(child)}


def _class_folders(folder: Path) -> dict[Path, int]:
    return {child: CLASS_NAMES.index(name) for child, name in _named(folder, CLASS_NAMES).items()}


def _named(folder: Path, names: Sequence[str]) -> dict[Path, str]:
    """The subfolders with one of the names, in whatever case, and that name."""
    by_lower = {name.lower(): name for name in names}
    return {
        child: by_lower[child.name.lower()]
        for child in _subfolders(folder)
        if child.name.lower() in by_lower
    }


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        child
        for child in folder.iterdir()
        if not child.name.startswith(_NO_FILMS) and child.is_dir()
    )


def _looks_like_film(entry: os.DirEntry[str]) -> bool:
    name = entry.name.lower()
    if not name.endswith(SUFFIXES) or name.startswith("."):
        return False
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself leads to no film
            return False
        raise


def _count_files(entry: os.DirEntry[str]) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(names) for _, _, names in os.walk(entry.path))
