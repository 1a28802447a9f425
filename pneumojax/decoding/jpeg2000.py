"""Reads the headers of a JPEG 2000 codestream before it is decoded (ITU-T T.800, annex A)."""

import struct

from pneumojax.decoding.cursor import Cursor, CursorError
from pneumojax.decoding.decompression_limits import MAX_CELLS, MAX_PACKETS, MAX_TILES

MAX_MARKERS = 1 << 17  # in all headers; usual tiles have a few parts with a few markers each

_START = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT, _SOD, _EOC = 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
_SIZE = struct.Struct(">4H6I8xH")
_MARKER = struct.Struct(">HH")
_TILE_PART = struct.Struct(">HHHI")
_END = struct.Struct(">H")


def codestream_fault(frame: bytes, width: int, height: int, samples: int) -> str:
    """Why a JPEG 2000 codestream must not be decoded; "" if it may be.

    The decoder allocates all tiles, precincts and code blocks before it decodes a pixel. Parts of
    tiles may have their own coding styles, so all headers are read. The size is that of the DICOM
    header.
    """
    try:
        return _fault(Cursor(frame, max(frame.find(_START), 0)), (width, height, samples))
    except (CursorError, IndexError):  # no codestream, or cut short
        return "damaged"


def _fault(cursor: Cursor, expected: tuple[int, int, int]) -> str:
    _, marker, _, _, right, lower, left, upper, tile_w, tile_h, components = cursor.peek(_SIZE)
    width, height = right - left, lower - upper
    if marker != 0xFF51 or (width, height, components) != expected or not tile_w or not tile_h:
        return "of another size"
    tiles = -(-right // tile_w) * -(-lower // tile_h)
    if tiles > MAX_TILES:
        return "of too many parts"
    cursor.skip(2)
    layers, end_of_part = 1, 0
    for _ in range(MAX_MARKERS):
        start = cursor.at
        marker, length = cursor.peek(_MARKER)
        if marker == _SOD:
            cursor.move_to(end_of_part)
            if cursor.left < 4 or cursor.peek(_END) == (_EOC,):
                return ""
            continue
        if marker == _SOT:
            part = cursor.peek(_TILE_PART)[3]
            end_of_part = start + part if part else len(cursor.data)
        cursor.skip(2 + length)
        if marker in (_COD, _COC):
            coding = cursor.data[start + 4 : cursor.at]
            own = 1 if components < 257 else 2  # bytes of a component's number
            if marker == _COD:
                style, layers, rest = coding[0], int.from_bytes(coding[2:4]), coding[5:]
            else:
                style, rest = coding[own], coding[own + 1 :]
            cells = _cells(rest, bool(style & 1), width, height, tiles)
            if cells > MAX_CELLS or cells * layers > MAX_PACKETS:
                return "of too many parts"
    return "of too many parts"


def _cells(coding: bytes, own_precincts: bool, width: int, height: int, tiles: int) -> int:
    """The number of code blocks and precincts in one component under a coding style."""
    levels, block_w, block_h = coding[:3]
    sizes = coding[5 : 6 + levels] if own_precincts else b"\xff" * (levels + 1)
    cells = (width * height >> (min(block_w, 8) + min(block_h, 8) + 4)) + tiles
    for level, size in enumerate(sizes):
        shrunk = levels - level
        across = (width >> shrunk >> (size & 15)) + 1
        cells += tiles + across * ((height >> shrunk >> (size >> 4)) + 1)
    return cells
