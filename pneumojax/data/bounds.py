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
_SOC, _SIZ, _COD, _COC, _SOT, _SOD, _EOC = 0x4F, 0x51, 0x52, 0x53, 0x90, 0x93, 0xD9
_large = threading.Lock()


def has_too_many_scans(jpeg: bytes) -> bool:
    """Whether a JPEG, or what might be one, begins more than `MAX_SCANS` scans."""
    return jpeg.count(b"\xff\xda") > MAX_SCANS


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


def codestream_fault(frame: bytes, width: int, height: int, samples: int) -> str:
    """Why a JPEG 2000 codestream is not decoded: of another size, or cut into too many parts.

    Its decoder takes memory for all of them before it looks at a pixel. The markers are those of
    ITU-T T.800, annex A; tile parts may have their own, so all are walked through. "" is no fault.
    """
    try:
        return _fault(frame, frame.index(b"\xff\x4f\xff\x51"), (width, height, samples))
    except (ValueError, IndexError, struct.error):  # no codestream, or cut short
        return "damaged"


def _fault(frame: bytes, at: int, expected: tuple[int, int, int]) -> str:
    right, lower, left, upper, tile_w, tile_h = struct.unpack_from(">6I", frame, at + 8)
    (components,) = struct.unpack_from(">H", frame, at + 40)
    width, height = right - left, lower - upper
    if (width, height, components) != expected or not tile_w or not tile_h:
        return "of another size"
    tiles = -(-right // tile_w) * -(-lower // tile_h)
    if tiles > MAX_TILES:
        return "of too many parts"
    at, layers = at + 2, 1
    while True:
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker in (0xFF00 | _COD, 0xFF00 | _COC):
            coding, own = frame[at + 4 : at + 2 + length], 1 if components < 257 else 2
            if marker == 0xFF00 | _COD:
                style, layers, rest = coding[0], int.from_bytes(coding[2:4]), coding[5:]
            else:
                style, rest = coding[own], coding[own + 1 :]
            cells = _cells(rest, bool(style & 1), width, height, tiles)
            if cells > MAX_CELLS or cells * layers > MAX_PACKETS:
                return "of too many parts"
        elif marker == 0xFF00 | _SOT:
            (part,) = struct.unpack_from(">I", frame, at + 6)
            after = at + part if part else len(frame)
        if marker == 0xFF00 | _SOD:
            at = after
            if at + 4 > len(frame) or frame[at + 1] == _EOC:
                return ""
            continue
        at += 2 + length


def _cells(coding: bytes, own_precincts: bool, width: int, height: int, tiles: int) -> int:
    """Code blocks and precincts that a coding style asks for, of one component."""
    levels, block_w, block_h = coding[:3]
    sizes = coding[5 : 6 + levels] if own_precincts else b"\xff" * (levels + 1)
    cells = (width * height >> (min(block_w, 8) + min(block_h, 8) + 4)) + tiles
    for level, size in enumerate(sizes):
        shrunk = levels - level
        across = (width >> shrunk >> (size & 15)) + 1
        cells += tiles + across * ((height >> shrunk >> (size >> 4)) + 1)
    return cells


@contextlib.contextmanager
def in_turn(width: int, height: int) -> Iterator[None]:
    """Large films one at a time, or the threads together would take more memory than there is."""
    with _large if width * height > LARGE else contextlib.nullcontext():
        yield
