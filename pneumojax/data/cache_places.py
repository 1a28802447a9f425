"""The places of a split's films in the cache folder.

The name of an entry is a digest of everything that its contents depend on, so a changed film or
another preprocessing leads to another entry.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import PIL

from pneumojax.data.dicom_metadata import HeaderCollector
from pneumojax.data.films import DICOM_SUFFIXES, SUFFIXES, FilmFolder
from pneumojax.decoding.preprocessing import Preprocessing

FORMAT = 4  # of a cache entry; raise it when the stored contents change


class CachePlaces(NamedTuple):
    """The folders in which the films of one split may lie; none of them need exist.

    decoded: all pixels in one array.
    ingested: pixels in shards, which a pipeline of Apache Beam wrote.
    shards: files in shards, which are decoded on each access.
    """

    decoded: Path
    ingested: Path
    shards: Path


def cache_places(
    folder: FilmFolder, preprocessing: Preprocessing, cache: Path, headers: HeaderCollector
) -> CachePlaces:
    """The places of the listed films; `cache` is the folder of --cache_dir."""
    more = headers.dependencies if headers.wanted or _may_have_dicom(folder) else ()
    pixels = _key(folder, PIL.__version__, preprocessing, *more)
    return CachePlaces(
        cache / "films" / pixels,
        cache / "ingested" / pixels,
        cache / "shards" / _key(folder, *more),
    )


def _may_have_dicom(folder: FilmFolder) -> bool:
    """Whether some file is DICOM by its suffix, or has another suffix than JPEG and PNG."""
    pictures = tuple(set(SUFFIXES) - set(DICOM_SUFFIXES))
    return not all(file.path.lower().endswith(pictures) for file in folder.files)


def _key(folder: FilmFolder, *more: object) -> str:
    """24 hex digits of the files' names, sizes and times, and of what else contents depend on."""
    digest = hashlib.sha256(repr((FORMAT, str(folder.root.resolve()), *more)).encode())
    for file in folder.files:
        stat = repr((file.path, file.size, file.mtime_ns))
        digest.update(stat.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]
