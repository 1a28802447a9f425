"""What a small file may ask of its decoder, looked at before it is decoded.

Sizes are checked by whoever decodes (`check_size`). These are the other ways in which few bytes
take much memory or time: counts that stand in a header and cost nothing to write there.
"""

import contextlib
import struct
import threading
from collections.abc import Iterator

import numpy as np

from pneumojax.decoding.cursor import Cursor, CursorError

MAX_SCANS = 256  # of a JPEG; its standard progressions have ten or so, and each is a pass
MOST_NUMBERS = 200_000  # in one value of a TIFF; Pillow takes 5 us for each strip or tile
MAX_ENTRIES = 4096  # of a directory; Pillow takes some microseconds for each
MAX_DIRECTORIES = 16  # that are followed; there are four kinds, and one of each is usual
MAX_TILES = 4096  # of a JPEG 2000 film
MAX_CELLS = 1 << 18  # precincts and code blocks of one; blocks of 32 x 32 in the largest film
MAX_PACKETS = 1 << 22  # precincts and code blocks times layers of quality
LARGE = 25_000_000  # pixels from which films are decoded one at a time

_SLACK = 1 << 16  # bytes; some writers have two values share their bytes
_BYTES_OF = np.zeros(1 << 16, np.int64)  # by a TIFF value's type; others are skipped when read
_BYTES_OF[1:14] = [1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4]
_BYTES_OF[16] = 8
_DIRECTORIES = (34665, 34853, 40965)  # tags that point to those of EXIF, GPS and interoperability
_large = threading.Lock()


def has_repeated_values(tiff: bytes, nested: bool = True) -> bool:
    """Whether reading a directory of a TIFF or of EXIF would fill the memory or take minutes.

    So it is where many values of one directory lie in one place, since each is read into memory
    by itself, and where a directory has more than `MAX_ENTRIES`, or a value more than
    `MOST_NUMBERS`. Pillow reads the first directory and, of a TIFF, those of EXIF that it points to
    (`nested`); a pointer of an unusual type counts as such a directory.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return False
    big = tiff[2:4] in (b"+\0", b"\0+")
    first = struct.Struct(order + ("Q" if big else "I"))
    start = 8 if big else 4
    if len(tiff) < start + first.size:
        return False  # whoever reads it will say so
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
    lengths = size * entries["count"].astype(float)  # of which a product may be any number
    lengths = lengths[lengths <= length]  # a value that is not in the file is not read
    longest = entries["count"][size > 1].max(initial=0)
    return bool(lengths.sum() > length + _SLACK or longest > MOST_NUMBERS)


@contextlib.contextmanager
def in_turn(width: int, height: int) -> Iterator[None]:
    """Large films one at a time, or the threads together would take more memory than there is."""
    with _large if width * height > LARGE else contextlib.nullcontext():
        yield
