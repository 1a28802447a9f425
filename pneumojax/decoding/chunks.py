"""Counts the chunks of a PNG or WebP file before it is decoded.

A chunk of twelve bytes or fewer already costs the decoder time and memory.
"""

import struct

from pneumojax.decoding.cursor import Cursor, CursorError

MAX_CHUNKS = 512  # without those of pixels
MAX_PROFILES = 8  # colour profiles, each of which Pillow inflates; the standard allows one
MAX_PIXEL_CHUNKS = 1 << 17  # of a PNG; the largest film in chunks of 4 kB has 100,000

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK = struct.Struct(">I4s")
_FRAMES = struct.Struct(">I")
_RIFF_CHUNK = struct.Struct("<4sI")


def png_fault(data: bytes) -> str:
    """Why a PNG must not be decoded: too many chunks, or several pictures; "" if it may be.

    The decoder reports damage itself.
    """
    cursor, pixels, others, frames, profiles = Cursor(data, len(_PNG)), 0, 0, 0, 0
    controlled = separate = False
    try:
        while True:
            length, kind = cursor.peek(_PNG_CHUNK)
            if kind == b"IDAT":
                # Pixels before the first frame control are a picture outside the animation.
                separate = separate or not (controlled or pixels)
                pixels += 1
                if pixels > MAX_PIXEL_CHUNKS:
                    return "of too many chunks"
                cursor.skip(length + 12)
                continue
            others += 1
            profiles += kind == b"iCCP"
            if others > MAX_CHUNKS or profiles > MAX_PROFILES:
                return "of too many chunks"
            if kind == b"acTL":
                (frames,) = cursor.peek(_FRAMES, _PNG_CHUNK.size)
            controlled = controlled or kind == b"fcTL"
            cursor.skip(length + 12)
            if kind == b"IEND":
                break
    except CursorError:
        pass
    joined = data.startswith(_PNG, cursor.at)
    if joined or frames and frames + separate > 1:
        return "of several pictures: only single films"
    return ""


def webp_fault(data: bytes) -> str:
    """Says that a WebP file has too many chunks to be decoded; "" if it has not."""
    cursor = Cursor(data, 12)
    try:
        for _ in range(MAX_CHUNKS):
            _, length = cursor.peek(_RIFF_CHUNK)
            cursor.skip(8 + length + length % 2)
    except CursorError:
        return ""
    return "of too many chunks"


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from the first chunk of a WebP file; None if it has none.

    Pillow tells the size only after it has allocated eight bytes for each pixel.
    """
    kind, payload = data[12:16], data[20:30]
    if kind == b"VP8X" and len(payload) == 10:
        width, height = (int.from_bytes(payload[at : at + 3], "little") for at in (4, 7))
        return width + 1, height + 1
    if kind == b"VP8L" and len(payload) >= 5:
        bits = int.from_bytes(payload[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(payload) == 10:
        width, height = (int.from_bytes(payload[at : at + 2], "little") for at in (6, 8))
        return width & 0x3FFF, height & 0x3FFF
    return None
