"""Whether an entry of the cache is one of these films, whatever its checksums say.

Checksums tell an accident. An entry whose checksums were written anew after a change passes them,
and must still neither end a run with a traceback nor be read beyond its arrays.
"""

import json
from pathlib import Path

import numpy as np

from pneumojax.data.cache_build import IMAGES, REJECTED
from pneumojax.data.index import NAMES, RECORD, open_index
from pneumojax.decoding.film import Preprocessing


def fits(entry: Path, films: int, preprocessing: Preprocessing | None) -> bool:
    """Whether the index, the list of rejected files and the pixels belong to so many films.

    Args:
        films: how many files the entry was made from.
        preprocessing: of decoded films; None for shards, whose films are checked as they are read.
    """
    try:
        rejected = json.loads((entry / REJECTED).read_text())
        if not isinstance(rejected, list) or not all(map(_is_pair_of_text, rejected)):
            return False
        if (entry / NAMES[0]).stat().st_size != (films - len(rejected)) * RECORD.itemsize:
            return False
        return _is_index(entry) and (
            preprocessing is None or _is_pixels(entry, films, preprocessing.image_size)
        )
    except (OSError, ValueError, TypeError, EOFError, RecursionError):
        return False


def _is_index(entry: Path) -> bool:
    """Whether every path lies within the text of paths, and every label is a class."""
    index = open_index(entry)
    ends = index.records["path_end"]
    edges = np.concatenate([[0], ends, [len(index.text)]])
    return bool(
        np.all(np.diff(edges[:-1]) > 0)
        and edges[-2] == edges[-1]
        and np.all(index.records["label"] <= 1)
        and np.all(index.records["size"] > 0)
    )


def _is_pixels(entry: Path, films: int, side: int) -> bool:
    # Arrays of objects, which would be unpickled, are a ValueError.
    images = np.load(entry / IMAGES, mmap_mode="r", allow_pickle=False)
    return (
        isinstance(images, np.ndarray)
        and images.dtype == np.uint8
        and images.shape == (films, side, side)
        and images.flags.c_contiguous
    )


def _is_pair_of_text(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
