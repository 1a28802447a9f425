"""The films of one split, ready to be asked for by index: decoded once, or streamed from shards.

A cache entry is a folder named by everything its contents depend on: the films' paths, sizes and
times, and for decoded films how they are decoded, and by which decoder. It appears under that name
complete or not at all, and its bytes are checked when it is opened or read.
"""

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL

from pneumojax.config import NAMED_SETS
from pneumojax.data import patients
from pneumojax.data.cache_build import IMAGES, PixelStore, build_entry, is_whole, read_rejected
from pneumojax.data.cache_check import fits
from pneumojax.data.disk_space import require_room, too_large
from pneumojax.data.films import FilmFile, find_films, seen_in
from pneumojax.data.index import Column, FilmIndex, open_index
from pneumojax.decoding.film import Preprocessing
from pneumojax.errors import UserError

if TYPE_CHECKING:
    from pneumojax.data.shards import StreamedFilms

FORMAT = 3  # of a cache entry; raise it when what is stored changes


@dataclass(frozen=True)
class FilmSet:
    """The readable films of one split, and what is known about each.

    Attributes:
        images: uint8 (m, image_size, image_size), memory-mapped or streamed; m may exceed n.
        rows: int64 (n,), each film's place in `images`; read them through `pixels`.
        index: what is known about the n films.
        rejected: path and reason of each file that is no readable film.
        ignored: how many other files lie under the root.
    """

    root: Path
    split: str
    preprocessing: Preprocessing
    images: "np.ndarray | StreamedFilms"
    rows: np.ndarray
    index: FilmIndex
    rejected: list[tuple[str, str]]
    ignored: int

    def __len__(self) -> int:
        return len(self.index)

    def pixels(self, films: np.ndarray) -> np.ndarray:
        """uint8 (k, image_size, image_size) of k films by their index."""
        return self.images.take(self.rows[films], axis=0)

    def select(self, films: np.ndarray) -> "FilmSet":
        """Some of the films, by index or bool (n,), sharing the pixels; nothing is read."""
        chosen = np.arange(len(self))[films]
        return replace(self, rows=self.rows[chosen], index=self.index.select(chosen))

    @property
    def paths(self) -> Column:
        """Relative to the root, sorted."""
        return self.index.paths

    @property
    def labels(self) -> np.ndarray:
        """int32 (n,), 1 is pneumonia."""
        return self.index.labels

    @property
    def sizes(self) -> np.ndarray:
        """int32 (n, 2), width and height of each file's picture, pixels."""
        return self.index.sizes

    @property
    def digests(self) -> Column:
        """SHA-256 of each file's bytes."""
        return self.index.digests

    @property
    def identities(self) -> Iterator[patients.Identity]:
        """Patient and pathogen of each film, from the file name."""
        return map(patients.identify, self.paths, self.labels.tolist())

    @property
    def patients(self) -> list[str]:
        """Patient of each film."""
        one: dict[str, str] = {}  # the same text for all films of a patient
        return [one.setdefault(who.patient, who.patient) for who in self.identities]

    @property
    def patients_known(self) -> list[bool]:
        """Whether each film's name carries its patient."""
        return [identity.known for identity in self.identities]

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all paths and contents, the same wherever the folder lies."""
        digest = hashlib.sha256()
        for path, contents in zip(self.paths, self.digests, strict=True):
            digest.update(f"{contents} {path}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]


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
    max_cache_gb: float = 0.0,
    verify: bool = False,
    log: Callable[[str], None] = print,
) -> FilmSet:
    """Finds one split's films, reads them unless the cache has them, and says what was left out.

    Args:
        max_cache_gb: 10^9 bytes that decoded films may take; films that would take more are
            streamed from shards. 0: as `too_large` chooses.
        verify: hash every file again, and rebuild the entry where contents changed behind an
            unchanged size and time.

    Raises:
        UserError: no such split, no readable film, or more unreadable ones than allowed; no room
            for the films, decoded or not.
    """
    folder = find_films(root)
    files = [file for file in folder.files if file.split == split]
    if not files:
        raise UserError(
            f"data.root: split {split!r} of {str(root)!r} holds no film {seen_in(folder)}"
        )
    if folder.ignored_folders:
        names = ", ".join(map(repr, folder.ignored_folders[:5]))
        more = len(folder.ignored_folders) - 5
        log(
            f"ignored: the files in {names}{f' and {more:,} more folders' * (more > 0)} of "
            f"{str(root)!r}; only NORMAL and PNEUMONIA are classes"
        )
    decoded = cache_dir / "films" / _key(folder.root, files, PIL.__version__, preprocessing)
    entry, why = decoded, too_large(decoded, len(files), preprocessing, max_cache_gb)
    if why:
        entry = cache_dir / "shards" / _key(folder.root, files)
        log(f"{split}: {why}; films are streamed from shards in {str(entry)!r}")
    stored = None if why else preprocessing
    if os.path.lexists(entry) and not (is_whole(entry) and fits(entry, len(files), stored)):
        log(f"cache: {str(entry)!r} is damaged; decoding its films again")
        _remove(entry)
    if verify and entry.is_dir() and _changed(folder.root, entry):
        log(f"cache: films of {split} changed under the same size and time; decoding again")
        shutil.rmtree(entry)
    images: np.ndarray | StreamedFilms
    if why:
        images = _streamed(entry, folder.root, files, preprocessing, why, verify=verify, log=log)
    else:
        if not entry.is_dir():
            build_entry(entry, folder.root, files, preprocessing, PixelStore, log)
        images = np.asarray(np.load(entry / IMAGES, mmap_mode="r"))
    index = open_index(entry)
    films = FilmSet(
        root=folder.root,
        split=split,
        preprocessing=preprocessing,
        images=images,
        rows=index.rows,
        index=index,
        rejected=read_rejected(entry),
        ignored=folder.ignored,
    )
    _check_rejected(films, len(files), max_rejected_fraction)
    return films


def _remove(entry: Path) -> None:
    """Removes a damaged entry; it may be a file or a link in the place of a folder."""
    try:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    except OSError as error:
        raise UserError(
            f"--cache_dir: {str(entry)!r} is damaged and cannot be removed ({error.strerror}); "
            "remove it or name another folder"
        ) from error


def _streamed(
    entry: Path,
    root: Path,
    files: Sequence[FilmFile],
    preprocessing: Preprocessing,
    why: str,
    *,
    verify: bool,
    log: Callable[[str], None],
) -> "StreamedFilms":
    """The films of shards, which are written first where there are none."""
    if importlib.util.find_spec("array_record") is None:  # TFDS asks for it on Linux alone
        raise UserError(f"data.max_cache_gb: {why}, and streaming them needs array_record")
    from pneumojax.data.shards import ShardStore, StreamedFilms  # imports TFDS

    if verify and entry.is_dir():
        if not (films := StreamedFilms(entry, open_index(entry), preprocessing)).damaged():
            return films
        log(f"cache: {str(entry)!r} is damaged; decoding its films again")
        shutil.rmtree(entry)
    if not entry.is_dir():
        require_room(entry, files, why)
        build_entry(entry, root, files, preprocessing, ShardStore, log)
    return StreamedFilms(entry, open_index(entry), preprocessing)


def _key(root: Path, files: Sequence[FilmFile], *more: object) -> str:
    """24 hex digits of the files' names, sizes and times, and of what else contents depend on."""
    digest = hashlib.sha256(repr((FORMAT, str(root.resolve()), *more)).encode())
    for file in files:
        stat = repr((file.path, file.size, file.mtime_ns))
        digest.update(stat.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


def _changed(root: Path, entry: Path) -> bool:
    index = open_index(entry)
    return any(
        hashlib.sha256((root / path).read_bytes()).hexdigest() != contents
        for path, contents in zip(index.paths, index.digests, strict=True)
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
