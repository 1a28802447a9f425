"""Films decoded once into a file of uint8 pixels that outlives the process.

A cache entry is a folder named by everything its pixels depend on: the films' paths, sizes and
times, how they are decoded, and by which decoder. It appears under that name complete or not at
all, and its bytes are checked when it is opened.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL

from pneumojax.config import NAMED_SETS
from pneumojax.data import patients
from pneumojax.data.cache_build import build_entry, is_whole
from pneumojax.data.decoding import Preprocessing
from pneumojax.data.films import FilmFile, Folder, find_films
from pneumojax.errors import UserError

FORMAT = 2  # of a cache entry; raise it when what is stored changes


@dataclass(frozen=True)
class FilmSet:
    """The readable films of one split, decoded, and what is known about each.

    Attributes:
        images: uint8 (m, image_size, image_size), memory-mapped; m may exceed n.
        rows: int64 (n,), each film's place in `images`; read them through `pixels`.
        paths: relative to the root, sorted.
        labels: int32 (n,), 1 is pneumonia.
        sizes: int32 (n, 2), width and height of each file's picture, pixels.
        digests: SHA-256 of each file's bytes.
        identities: patient and pathogen, from the file name.
        rejected: path and reason of each file that is no readable film.
        ignored: how many other files lie under the root.
    """

    root: Path
    split: str
    preprocessing: Preprocessing
    images: np.ndarray
    rows: np.ndarray
    paths: list[str]
    labels: np.ndarray
    sizes: np.ndarray
    digests: list[str]
    identities: list[patients.Identity]
    rejected: list[tuple[str, str]]
    ignored: int

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, films: np.ndarray) -> np.ndarray:
        """uint8 (k, image_size, image_size) of k films by their index, read from the cache."""
        return np.take(np.asarray(self.images), self.rows[films], axis=0)

    def select(self, films: np.ndarray) -> "FilmSet":
        """Some of the films, by index or bool (n,), sharing the pixels; nothing is read."""
        chosen = np.arange(len(self))[films]
        return replace(
            self,
            rows=self.rows[chosen],
            paths=[self.paths[i] for i in chosen],
            labels=self.labels[chosen],
            sizes=self.sizes[chosen],
            digests=[self.digests[i] for i in chosen],
            identities=[self.identities[i] for i in chosen],
        )

    @property
    def patients(self) -> list[str]:
        """Patient of each film."""
        return [identity.patient for identity in self.identities]

    @property
    def patients_known(self) -> list[bool]:
        """Whether each film's name carries its patient."""
        return [identity.known for identity in self.identities]

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all paths and contents, the same wherever the folder lies."""
        lines = "".join(f"{d} {p}\n" for p, d in zip(self.paths, self.digests, strict=True))
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def resolve_root(root: str, cache_dir: Path) -> Path:
    """The folder behind `data.root`, where a named set is drawn or fetched at first use."""
    if root not in NAMED_SETS:
        return Path(root)
    if root == "synthetic":
        from pneumojax.data import phantom

        return phantom.ensure_films(cache_dir)
    from pneumojax.data import chest_xray  # imports TensorFlow

    return chest_xray.export_pneumonia_mnist(cache_dir)


def load_split(
    root: Path,
    split: str,
    preprocessing: Preprocessing,
    cache_dir: Path,
    *,
    max_rejected_fraction: float,
    verify: bool = False,
    log: Callable[[str], None] = print,
) -> FilmSet:
    """Finds one split's films, decodes them unless the cache has them, and says what was left out.

    Args:
        verify: hash every file again, and rebuild the entry where contents changed behind an
            unchanged size and time.

    Raises:
        UserError: no such split, no readable film, or more unreadable ones than allowed.
    """
    folder = find_films(root)
    files = [file for file in folder.files if file.split == split]
    if not files:
        found = sorted({file.split for file in folder.files})
        raise UserError(
            f"data.root: split {split!r} of {str(root)!r} holds no film "
            f"(splits with films: {', '.join(found) or 'none'})"
        )
    entry = cache_dir / "films" / _key(folder.root, files, preprocessing)
    if verify and entry.is_dir() and _changed(folder.root, entry):
        log(f"cache: films of {split} changed under the same size and time; decoding again")
        shutil.rmtree(entry)
    if entry.is_dir() and not is_whole(entry):
        log(f"cache: {str(entry)!r} is damaged; decoding its films again")
        shutil.rmtree(entry)
    if not entry.is_dir():
        build_entry(entry, folder.root, files, preprocessing, log)
    films = _open(entry, folder, split, preprocessing)
    _check_rejected(films, len(files), max_rejected_fraction)
    return films


def _key(root: Path, files: Sequence[FilmFile], preprocessing: Preprocessing) -> str:
    stats = [(file.path, file.size, file.mtime_ns) for file in files]
    parts = [FORMAT, PIL.__version__, str(root.resolve()), preprocessing.as_dict(), stats]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _open(entry: Path, folder: Folder, split: str, preprocessing: Preprocessing) -> FilmSet:
    index = json.loads((entry / "index.json").read_text())
    films = index["films"]
    return FilmSet(
        root=folder.root,
        split=split,
        preprocessing=preprocessing,
        images=np.load(entry / "images.npy", mmap_mode="r"),
        rows=np.arange(len(films)),
        paths=[film["path"] for film in films],
        labels=np.array([film["label"] for film in films], np.int32),
        sizes=np.array([(film["width"], film["height"]) for film in films], np.int32),
        digests=[film["sha256"] for film in films],
        identities=[patients.identify(film["path"], film["label"]) for film in films],
        rejected=[(path, reason) for path, reason in index["rejected"]],
        ignored=folder.ignored,
    )


def _changed(root: Path, entry: Path) -> bool:
    films = json.loads((entry / "index.json").read_text())["films"]
    return any(
        hashlib.sha256((root / film["path"]).read_bytes()).hexdigest() != film["sha256"]
        for film in films
    )


def _check_rejected(films: FilmSet, found: int, allowed: float) -> None:
    if not films.rejected:
        return
    path, reason = films.rejected[0]
    example = f"first: {path}: {reason}"
    if not len(films):
        raise UserError(
            f"data.root: none of {found:,} files in {films.split!r} is a readable film ({example})"
        )
    if len(films.rejected) > allowed * found:
        raise UserError(
            f"data.max_rejected_fraction: {len(films.rejected):,} of {found:,} files in "
            f"{films.split!r} are no readable films, more than {allowed:.1%} ({example}); "
            "mend or remove them, or raise the field"
        )
