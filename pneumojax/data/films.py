"""Finds the films of a folder in the Kaggle layout; only names, sizes and times are read.

`table_films.py` lists the films of a table as a `FilmFolder` as well.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pneumojax.data.classes import Classes
from pneumojax.data.naming import KERMANY, FilmNaming
from pneumojax.errors import UserError

SPLITS = ("train", "val", "test")
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic")
SUFFIXES = (".jpeg", ".jpg", ".png", *DICOM_SUFFIXES)
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")

_HIDDEN = (".", "__MACOSX")  # prefixes of folders that operating systems add
_SHOWN = 5  # names in a message


@dataclass(frozen=True, slots=True)  # slots halve the memory, and there may be millions of files
class FilmFile:
    """One file that should be a film; its contents have not been read."""

    path: str  # relative to the root, with forward slashes
    split: str  # "train", "val", "test", or "all" in a folder without splits
    label: int
    size: int  # bytes
    mtime_ns: int
    patient: str = ""  # from a table; "" if it tells none


class Rejected(NamedTuple):
    """A row of a table that cannot be used."""

    path: str  # as the table has it
    reason: str
    split: str  # "all" if the row tells none


@dataclass(frozen=True)
class FilmFolder:
    """The films of a folder or of a table, sorted by path, and what was left out."""

    root: Path
    files: tuple[FilmFile, ...]
    named_by: str = "config.data.root"  # the user's flag or field; errors begin with it
    ignored: int = 0  # the number of other files
    # Folders with files that are not class folders, relative to the root, such as a third class.
    ignored_folders: tuple[str, ...] = ()
    naming: FilmNaming = KERMANY
    table: Path | None = None
    # The other columns of the table by name: object (number of files,) of text, "" if missing.
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    rejected: tuple["Rejected", ...] = ()  # rows of a table that cannot be used
    advice: str = ""  # what to do about labels of a table that belong to no class

    @property
    def splits(self) -> list[str]:
        """The names of the splits that have files, sorted."""
        return sorted({film.split for film in self.files})

    def of_split(self, split: str) -> "FilmFolder":
        """The folder with the files of one split only; raises UserError if it has none.

        "all" of a table means all of its rows, and its rows without a split belong to any split.
        """
        wanted = {split} if self.table is None else {split, "all"}
        chosen = [
            place
            for place, file in enumerate(self.files)
            if file.split in wanted or (split == "all" and self.table is not None)
        ]
        if not chosen:
            raise UserError(
                f"{self.named_by}: split {split!r} of {self.shown} holds no film {self._contents()}"
            )
        return replace(
            self,
            files=tuple(self.files[i] for i in chosen),
            columns={name: values[chosen] for name, values in self.columns.items()},
            rejected=tuple(
                row for row in self.rejected if split == "all" or row.split in (split, "all")
            ),
        )

    def only_split(self) -> str:
        """The one split that has films; raises UserError if several have, or none."""
        splits = self.splits
        if self.table is not None and splits:
            return "all"
        if not splits:
            raise UserError(
                f"{self.named_by}: {self.shown} holds no JPEG, PNG or DICOM film {self._contents()}"
            )
        if len(splits) > 1:
            raise UserError(
                f"{self.named_by}: {self.shown} has several splits ({', '.join(splits)}); "
                "name one with --split"
            )
        return splits[0]

    @property
    def shown(self) -> str:
        """The folder or the table in a message."""
        return repr(str(self.table or self.root))

    def _contents(self) -> str:
        others = f", {self.ignored:,} other files" if self.ignored else ""
        found = ", ".join(self.splits) or "none"
        return f"(splits with films: {found}{others})"


def find_films(
    root: Path, named_by: str = "config.data.root", naming: FilmNaming = KERMANY
) -> FilmFolder:
    """Lists the films of a folder in the Kaggle layout.

    Only direct children of class folders count. Folder names and suffixes may be in any case.
    Hidden files, `__MACOSX`, other suffixes and a nested second copy are counted as ignored. If
    the splits lie one folder further down, that folder is the root. A folder of the two classes
    alone is one split named "all".

    Raises:
        UserError: the root is missing, not a folder, cannot be read, or has no class folder; or a
            folder of films beside the class folders is not listed in `config.data.ignored`.
    """
    if not root.is_dir():
        wrong = "is not a folder" if root.exists() else "does not exist"
        if root.name.lower().endswith(ARCHIVES):
            wrong += "; unpack it first"
        raise UserError(f"{named_by}: {str(root)!r} {wrong}; {layout(naming.classes)}")
    try:
        root, splits = _locate_splits(root, named_by, naming.classes)
        _refuse_other_classes(root, splits, named_by, naming.classes)
        return replace(_scan(root, splits, naming.classes), named_by=named_by, naming=naming)
    except OSError as error:
        raise UserError(
            f"{named_by}: cannot read {str(error.filename)!r} ({error.strerror}); "
            "check its permissions"
        ) from error


def layout(classes: Classes) -> str:
    """The layout of folders that is expected, for messages."""
    return f"expected <root>/{{train,val,test}}/{{{','.join(classes.listed)}}}/*.jpeg"


def _locate_splits(root: Path, named_by: str, classes: Classes) -> tuple[Path, dict[Path, str]]:
    """The folder that holds the split folders, and the split of each of them."""
    if splits := _split_folders(root, classes):
        return root, splits
    if _class_folders(root, classes):
        return root, {root: "all"}
    below = [(folder, _split_folders(folder, classes)) for folder in _subfolders(root)]
    below = [(folder, splits) for folder, splits in below if splits]
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(repr(child.name) for child, _ in below)
        raise UserError(f"{named_by}: {str(root)!r} holds several data sets ({names}); name one")
    raise UserError(
        f"{named_by}: no {' or '.join(classes.listed)} folder in {str(root)!r} "
        f"(found {_listing(root)}){_naming_hint(root)}; {layout(classes)}"
    )


def _naming_hint(root: Path) -> str:
    """How to name the classes, if just two names of folders with films are found; otherwise ""."""
    near = [root, *_subfolders(root)]
    names = sorted({child.name for folder in near for child in _folders_of_films(folder)})
    if len(names) != 2:
        return ""
    return (
        f". If these are the classes, name them: --config.data.negative={names[0]!r} "
        f"--config.data.positive={names[1]!r}, or the other way round"
    )


def _refuse_other_classes(
    root: Path, splits: dict[Path, str], named_by: str, classes: Classes
) -> None:
    """Raises UserError for a folder of films beside the class folders, such as a third class."""
    others = [
        folder
        for parent in splits
        for folder in _folders_of_films(parent)
        if folder not in splits and not classes.is_listed(folder.name)
    ]
    if others:
        shown = ", ".join(repr(path.relative_to(root).as_posix()) for path in others[:_SHOWN])
        more = ", ..." * (len(others) > _SHOWN)
        raise UserError(
            f"{named_by}: films lie in {shown}{more} of {str(root)!r}, beside the classes "
            f"{' and '.join(classes.listed)}. Add the name to config.data.negative or positive, or "
            f"leave these films out with --config.data.ignored={others[0].name!r}"
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


def _folders_of_films(parent: Path) -> list[Path]:
    """The subfolders that have a film directly in them."""
    found = []
    for folder in _subfolders(parent):
        with os.scandir(folder) as entries:
            if any(map(_looks_like_film, entries)):
                found.append(folder)
    return found


def _scan(root: Path, splits: dict[Path, str], names: Classes) -> FilmFolder:
    classes = {
        folder: (split, label)
        for parent, split in splits.items()
        for folder, label in _class_folders(parent, names).items()
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
    return FilmFolder(root, ordered, ignored=ignored, ignored_folders=tuple(sorted(folders)))


def _split_folders(folder: Path, classes: Classes) -> dict[Path, str]:
    return {
        child: child.name.lower()
        for child in _subfolders(folder)
        if child.name.lower() in SPLITS and _class_folders(child, classes)
    }


def _class_folders(folder: Path, classes: Classes) -> dict[Path, int]:
    labels = {child: classes.label_of(child.name) for child in _subfolders(folder)}
    return {child: label for child, label in labels.items() if label is not None}


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
