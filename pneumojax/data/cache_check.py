"""Checks that an entry of the cache is whole, and that its files match each other.

Checksums find accidental damage. An entry that was changed together with its checksums passes them,
and must still neither end a run with a traceback nor be read beyond its arrays.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pneumojax.data.cache_build import CHECKSUMS, IMAGES, REJECTED, checksum
from pneumojax.data.dicom_metadata import headers_fit
from pneumojax.data.films import FilmFile
from pneumojax.data.index import NAMES, RECORD, open_index
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.fields import is_text, list_of


def is_whole(entry: Path) -> bool:
    """Whether an entry holds the files that were written and no others, with the same bytes.

    Every file has to be listed, so that an empty list of checksums does not pass. 117 MB take a
    twentieth of a second. For shards only the sizes are compared; their bytes are checked film by
    film as they are read.
    """
    try:
        checksums = json.loads((entry / CHECKSUMS).read_text())
        found = [path for path in entry.iterdir() if path.name != CHECKSUMS]
        return bool(found) and checksums == {path.name: checksum(path) for path in found}
    except (OSError, ValueError, RecursionError):
        return False


def fits(entry: Path, files: Sequence[FilmFile], preprocessing: Preprocessing | None) -> bool:
    """Whether the index, the rejected files, the pixels and the headers match the files.

    `preprocessing` is None for shards, whose films are checked as they are read.
    """
    try:
        rejected = json.loads((entry / REJECTED).read_text())
        if not list_of(list_of(is_text, 2))(rejected):
            return False
        if len(dict(rejected).keys() & {file.path for file in files}) != len(rejected):
            return False
        films = len(files)
        readable = films - len(rejected)
        if (entry / NAMES[0]).stat().st_size != readable * RECORD.itemsize:
            return False
        if not headers_fit(entry, readable):
            return False
        side = preprocessing.image_size if preprocessing else 0
        return _is_index(entry) and (not side or _is_pixels(entry, films, side))
    except (OSError, ValueError, TypeError, EOFError, RecursionError):
        return False


def _is_index(entry: Path) -> bool:
    """Whether every path lies within the text of paths, and every size is positive."""
    index = open_index(entry)
    ends = index.records["path_end"]
    edges = np.concatenate([[0], ends, [len(index.text)]])
    return bool(
        np.all(np.diff(edges[:-1]) > 0)
        and edges[-2] == edges[-1]
        and np.all(index.records["size"] > 0)
    )


def _is_pixels(entry: Path, films: int, side: int) -> bool:
    # An array of objects, which would be unpickled, is a ValueError.
    images = np.load(entry / IMAGES, mmap_mode="r", allow_pickle=False)
    return (
        isinstance(images, np.ndarray)
        and images.dtype == np.uint8
        and images.shape == (films, side, side)
        and images.flags.c_contiguous
    )
