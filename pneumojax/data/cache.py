"""Loads the films of one split: decoded once and kept, or streamed from shards if too large.

An entry of the cache is a folder whose name depends on the films (`cache_places.py`). It appears
complete or not at all, and its bytes are checked when it is opened or read (`cache_check.py`).
"""

import hashlib
import importlib.util
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumojax.data.cache_build import IMAGES, REJECTED, Decoding, PixelStore, build_entry
from pneumojax.data.cache_check import fits, is_whole
from pneumojax.data.cache_places import cache_places
from pneumojax.data.dicom_metadata import HeaderCollector, read_facts
from pneumojax.data.disk_space import require_disk_space, too_large
from pneumojax.data.film_set import FilmFacts, FilmSet
from pneumojax.data.films import FilmFolder
from pneumojax.data.index import open_index
from pneumojax.data.ingested import INDEX, IngestedFilms, is_ingested
from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.terminal import say

if TYPE_CHECKING:
    from pneumojax.data.shards import StreamedFilms

Log = Callable[[str], None]  # prints one line

_SHOWN = 3  # reasons in a message


@dataclass(frozen=True)
class FilmCache:
    """A folder that keeps films, and how it is used."""

    folder: Path  # named by --cache_dir
    max_gb: float = 0.0  # as `max_cache_gb` of `too_large`; a larger split is streamed from shards
    verify: bool = False  # hash every film, whose contents may change under the same size and time
    log: Log = say


def load_split(
    folder: FilmFolder,
    split: str,
    preprocessing: Preprocessing,
    cache: FilmCache,
    *,
    max_rejected_fraction: float,
) -> FilmSet:
    """Reads the films of one split, from the cache if it has them.

    Raises:
        UserError: there is no such split, no readable film, or a larger fraction of unreadable
            ones than allowed; or the films do not fit on the disk, decoded or not.
    """
    wanted = folder.of_split(split)
    if folder.ignored_folders or (folder.ignored and folder.table is not None):
        cache.log(_ignored(folder))
    headers = HeaderCollector(folder.naming.dicom_metadata, cache.folder)
    places = cache_places(wanted, preprocessing, cache.folder, headers)
    reason = too_large(places.decoded, len(wanted.files), preprocessing, cache.max_gb)
    images: np.ndarray | StreamedFilms | IngestedFilms
    if (reason or not places.decoded.is_dir()) and _is_usable(
        places.ingested, wanted, preprocessing, cache
    ):
        entry = places.ingested / INDEX
        cache.log(
            f"{split}: films are streamed from the ingested shards in {str(places.ingested)!r}"
        )
        images = IngestedFilms(places.ingested, preprocessing)
    elif reason:
        entry = places.shards
        cache.log(f"{split}: {reason}; films are streamed from shards in {str(entry)!r}")
        _remove_unusable(entry, wanted, None, cache)
        images = _streamed(entry, wanted, preprocessing, reason, headers, cache)
    else:
        entry = places.decoded
        _remove_unusable(entry, wanted, preprocessing, cache)
        if not entry.is_dir():
            build_entry(entry, wanted, Decoding(preprocessing), PixelStore, headers, cache.log)
        images = np.asarray(np.load(entry / IMAGES, mmap_mode="r"))
    index, rejected = open_index(entry), dict(json.loads((entry / REJECTED).read_text()))
    readable = [i for i, file in enumerate(wanted.files) if file.path not in rejected]
    facts = FilmFacts.of_folder(wanted, np.array(readable, np.int64))
    paths = [wanted.files[i].path for i in readable]
    films = FilmSet(
        index.records,
        index.text,
        index.rows,
        root=folder.root,
        split=split,
        preprocessing=preprocessing,
        images=images,
        places=index.rows,
        facts=facts.with_headers(read_facts(entry), paths),
        rejected=[*((row.path, row.reason) for row in wanted.rejected), *rejected.items()],
        ignored=folder.ignored,
        naming=folder.naming,
    )
    _check_rejected(films, wanted, max_rejected_fraction)
    if folder.table is not None:
        _check_contents(films, wanted, max_rejected_fraction, cache.log)
    _name_lateral(films, cache.log)
    return films


def _name_lateral(films: FilmSet, log: Callable[[str], None]) -> None:
    lateral = films.lateral
    if len(lateral):
        log(
            f"warning: {len(lateral):,} of {len(films):,} films of {films.split!r} are lateral "
            f"views by their DICOM headers, such as {films.paths[int(lateral[0])]!r}; the network "
            "is meant for frontal films"
        )


def _ignored(folder: FilmFolder) -> str:
    if folder.table is not None:
        return (
            f"ignored: {folder.ignored:,} rows of {folder.shown}, whose labels are left out by "
            "config.data.ignored"
        )
    names = ", ".join(map(repr, folder.ignored_folders[:5]))
    more = len(folder.ignored_folders) - 5
    return (
        f"ignored: the files in {names}{f' and {more:,} more folders' * (more > 0)} of "
        f"{str(folder.root)!r}; only {' and '.join(folder.naming.classes.listed)} are classes"
    )


def _remove_unusable(
    entry: Path, folder: FilmFolder, preprocessing: Preprocessing | None, cache: FilmCache
) -> None:
    """Removes an entry that is damaged or, if films are verified, older than its films."""
    if not os.path.lexists(entry):
        return
    if not (is_whole(entry) and fits(entry, folder.files, preprocessing)):
        cache.log(f"cache: {str(entry)!r} is damaged; decoding its films again")
        _remove(entry)
    elif cache.verify and _has_changed_films(folder.root, entry):
        split = folder.files[0].split
        cache.log(f"cache: films of {split} changed under the same size and time; decoding again")
        shutil.rmtree(entry)


def _is_usable(
    place: Path, folder: FilmFolder, preprocessing: Preprocessing, cache: FilmCache
) -> bool:
    """Whether there are ingested films; damaged or outdated ones are left alone and not used.

    They may have taken a cluster hours, and their shards may be whole, so nothing is removed.
    """
    if not (place / INDEX).is_dir():
        return False
    if not is_ingested(place, folder.files, preprocessing):
        fault = "are damaged"
    elif cache.verify and _has_changed_films(folder.root, place / INDEX):
        fault = "are older than the films"
    elif cache.verify and IngestedFilms(place, preprocessing).damaged():
        fault = "are damaged"
    else:
        return True
    cache.log(f"cache: the films in {str(place)!r} {fault} and are not used; remove that folder")
    return False


def _remove(entry: Path) -> None:
    try:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:  # a file or a link in the entry's place
            entry.unlink()
    except OSError as error:
        raise UserError(
            f"{str(entry)!r} is damaged and cannot be removed ({error.strerror}); "
            "remove it or name another folder",
            flag="cache_dir",
        ) from error


def _has_changed_films(root: Path, entry: Path) -> bool:
    index = open_index(entry)
    try:
        return any(
            hashlib.sha256(read_bytes(root / path)).hexdigest() != contents
            for path, contents in zip(index.paths, index.digests, strict=True)
        )
    except FilmError:  # a file that cannot be read any more; building the entry reports it
        return True


def _streamed(
    entry: Path,
    folder: FilmFolder,
    preprocessing: Preprocessing,
    reason: str,
    headers: HeaderCollector,
    cache: FilmCache,
) -> "StreamedFilms":
    """Opens the shards of the films, which are written first if there are none."""
    if importlib.util.find_spec("array_record") is None:  # TFDS requires it on Linux only
        raise UserError(
            f"config.data.max_cache_gb: {reason}, and streaming them needs array_record"
        )
    from pneumojax.data.shards import ShardStore, StreamedFilms  # imports TFDS

    if cache.verify and entry.is_dir():
        films = StreamedFilms(entry, open_index(entry), preprocessing)
        if not films.damaged():
            return films
        cache.log(f"cache: {str(entry)!r} is damaged; decoding its films again")
        shutil.rmtree(entry)
    if not entry.is_dir():
        require_disk_space(entry, folder.files, reason)
        build_entry(entry, folder, Decoding(preprocessing), ShardStore, headers, cache.log)
    return StreamedFilms(entry, open_index(entry), preprocessing)


def _check_rejected(films: FilmSet, folder: FilmFolder, allowed: float) -> None:
    if not films.rejected:
        return
    path, reason = films.rejected[0]
    example = f"first: {path}: {reason}"
    found = len(folder.files) + len(folder.rejected)
    if not len(films):
        raise UserError(
            f"{folder.named_by}: none of {found:,} files in {films.split!r} is a readable film "
            f"({example})"
        )
    if len(films.rejected) <= allowed * found:
        return
    fault = f"files in {films.split!r} are not readable films"
    if folder.table is not None:
        fault = f"rows of {folder.shown} for {films.split!r} cannot be used"
        reasons = Counter(reason for _, reason in films.rejected).most_common(_SHOWN)
        example = f"such as {path!r}"
        example += "".join(f"; {count:,} because {reason}" for reason, count in reasons)
    advice = folder.advice or "mend or remove them, or raise the field"
    raise UserError(
        f"config.data.max_rejected_fraction: {len(films.rejected):,} of {found:,} {fault}, more "
        f"than {allowed:.1%} ({example}); {advice}"
    )


def _check_contents(films: FilmSet, folder: FilmFolder, allowed: float, log: Log) -> None:
    """Counts the films of a table whose bytes are those of an earlier one, and names the first.

    They stay: the division by patient keeps films of the same bytes together.
    """
    first: dict[str, str] = {}
    pairs = [
        (path, original)
        for path, digest in zip(films.paths, films.digests, strict=True)
        if (original := first.setdefault(digest, path)) != path
    ]
    if not pairs:
        return
    line = (
        f"{len(pairs):,} of {len(films):,} films of {folder.shown} have the same bytes as "
        f"another film, such as {pairs[0][0]!r} and {pairs[0][1]!r}"
    )
    if len(pairs) > allowed * len(films):
        raise UserError(
            f"config.data.max_rejected_fraction: {line}, more than {allowed:.1%}; remove the "
            "copies from the table, or raise the field"
        )
    log(f"note: {line}")
