"""Checks the directories of a TIFF file, or of EXIF metadata, before Pillow reads them."""

import struct

import numpy as np

from pneumojax.decoding.cursor import Cursor, CursorError
from pneumojax.decoding.decompression_limits import MAX_DIRECTORIES, MAX_ENTRIES, MOST_NUMBERS

_SLACK = 1 << 16  # bytes; some writers have two values share their bytes
_BYTES_OF = np.zeros(1 << 16, np.int64)  # by the type of a value; Pillow skips other types
_BYTES_OF[1:14] = [1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4]
_BYTES_OF[16] = 8
_DIRECTORIES = (34665, 34853, 40965)  # tags that point to EXIF, GPS and interoperability


def are_too_costly(tiff: bytes, nested: bool = True) -> bool:
    """Whether reading the directories would fill the memory or take minutes.

    Pillow copies each value of a directory, even if many entries point to the same bytes. So their
    total length is limited by that of the file. A directory is also too costly with more than
    `MAX_ENTRIES` entries, or with more than `MOST_NUMBERS` numbers in one value.

    If `nested`, Pillow also reads the directories that the first one points to, as it does for a
    TIFF file. A pointer of an unusual type is too costly.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return False
    big = tiff[2:4] in (b"+\0", b"\0+")
    first = struct.Struct(order + ("Q" if big else "I"))
    start = 8 if big else 4
    if len(tiff) < start + first.size:
        return False  # Pillow reports the damage
    waiting = list(first.unpack_from(tiff, start))
    for _ in range(MAX_DIRECTORIES):
        if not waiting:
            return False
        entries = _entries(tiff, waiting.pop(), order, big)
        pointers = entries[np.isin(entries["tag"], _DIRECTORIES)] if nested else entries[:0]
        usual = np.isin(pointers["type"], (16,) if big else (4, 13)) & (pointers["count"] == 1)
        if _are_too_long(entries, len(tiff)) or not usual.all():
            return True
        waiting += pointers["value"].tolist()
    return True


def _entries(tiff: bytes, at: int, order: str, big: bool) -> np.ndarray:
    """The entries of a directory, as many as lie in the file."""
    width = f"{order}u{8 if big else 4}"
    entry = np.dtype(
        [("tag", f"{order}u2"), ("type", f"{order}u2"), ("count", width), ("value", width)]
    )
    try:
        cursor = Cursor(tiff, at)
        (count,) = cursor.take(struct.Struct(order + ("Q" if big else "H")))
    except CursorError:
        return np.empty(0, entry)
    return np.frombuffer(tiff, entry, min(count, cursor.left // entry.itemsize), cursor.at)


def _are_too_long(entries: np.ndarray, length: int) -> bool:
    if len(entries) > MAX_ENTRIES:
        return True
    size = _BYTES_OF[entries["type"]]
    lengths = size * entries["count"].astype(float)  # an integer product could overflow
    lengths = lengths[lengths <= length]  # Pillow does not read a value that exceeds the file
    longest = entries["count"][size > 1].max(initial=0)
    return bool(lengths.sum() > length + _SLACK or longest > MOST_NUMBERS)
