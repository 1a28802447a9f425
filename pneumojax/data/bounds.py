"""What a small file may ask of its decoder, looked at before it is decoded.

Sizes are checked by whoever decodes (`check_size`). These are the other ways in which few bytes
take much memory or time: counts that stand in a header and cost nothing to write there.
"""

import contextlib
import struct
import threading
from collections.abc import Iterator

import numpy as np

MAX_SCANS = 256  # of a JPEG; its standard progressions have ten or so, and each is a pass
MOST_NUMBERS = 1_000_000  # in one value of a TIFF: a strip for each row needs 10,000
MAX_TILES = 4096  # of a JPEG 2000 film
MAX_CELLS = 1 << 18  # precincts and code blocks of one; blocks of 32 x 32 in the largest film
MAX_PACKETS = 1 << 22  # precincts and code blocks times layers of quality
LARGE = 25_000_000  # pixels from which films are decoded one at a time

_SLACK = 1 << 16  # bytes; some writers have two values share their bytes
_BYTES_OF = np.zeros(1 << 16, np.int64)  # by a TIFF value's type; others are skipped when read
_BYTES_OF[1:14] = [1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4]
_BYTES_OF[16] = 8
_large = threading.Lock()


def has_repeated_values(tiff: bytes) -> bool:
    """Whether the values of a TIFF's first directory, or EXIF's, are longer than the whole of it.

    They are where many of them are one and the same place: each is read into memory by itself.
    Also where one of them is a list of more than `MOST_NUMBERS`.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return False
    big = tiff[2:4] in (b"+\0", b"\0+")
    start, head, kind, count = (8, "Q", "Q", "u8") if big else (4, "I", "H", "u4")
    entry = np.dtype(
        [("tag", f"{order}u2"), ("type", f"{order}u2"), ("count", order + count)]
        + [("value", "V8" if big else "V4")]
    )
    try:
        (at,) = struct.unpack_from(order + head, tiff, start)
        (entries,) = struct.unpack_from(order + kind, tiff, at)
        at += struct.calcsize(order + kind)
        entries = min(entries, (len(tiff) - at) // entry.itemsize)
        found = np.frombuffer(tiff, entry, entries, at)
    except (struct.error, ValueError, OverflowError):  # whoever reads it will say so
        return False
    size = _BYTES_OF[found["type"]]
    lengths = size * found["count"].astype(float)  # of which a product may be any number
    # A value that is not in the file is not read.
    lengths = lengths[lengths <= len(tiff)]
    longest = found["count"][size > 1].max(initial=0)
    return bool(lengths.sum() > len(tiff) + _SLACK or longest > MOST_NUMBERS)


@contextlib.contextmanager
def in_turn(width: int, height: int) -> Iterator[None]:
    """Large films one at a time, or the threads together would take more memory than there is."""
    with _large if width * height > LARGE else contextlib.nullcontext():
        yield
