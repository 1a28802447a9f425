"""Generates JPEG files by their markers (ITU-T T.81, annex B): every frame type, and floods."""

import functools
import io
import random
import struct

import imagecodecs
import numpy as np
from PIL import Image

SIDES = (1, 8, 15, 16, 17, 32, 33, 48, 64, 100, 224)
_EDGES = (0, 1, 2, 7, 8, 255, 256, 4095, 65_500, 65_535)
_COMPONENTS = (1, 1, 3, 3, 4, 2, 0, 255)
_TABLE = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]) + bytes(range(12))


def segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    """Writes a marker segment; `length` replaces the true length."""
    size = len(body) + 2 if length is None else length
    return struct.pack(">BBH", 0xFF, marker, size & 0xFFFF) + body


@functools.cache
def encoded(seed: int) -> bytes:
    """Makes a valid file by a real encoder: one of `ENCODED` kinds, in one of several sizes."""
    rng = np.random.default_rng(seed)
    side = SIDES[3 + seed // ENCODED % 7]
    grey = rng.integers(0, 255, (side, side + seed % 3)).astype(np.uint8)
    colour = rng.integers(0, 255, (*grey.shape, 3)).astype(np.uint8)
    kind = seed % ENCODED
    if kind == 0:
        return imagecodecs.ljpeg_encode(grey)
    if kind == 1:
        return imagecodecs.jpeg8_encode(grey, lossless=True)
    if kind == 2:
        return imagecodecs.jpeg8_encode(colour, lossless=True)
    if kind == 3:
        return imagecodecs.ljpeg_encode(grey.astype(np.uint16) * 16, bitspersample=12)
    if kind == 4:
        return imagecodecs.jpegls_encode(grey)
    options = [
        *({"quality": 90}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}),
        *({"optimize": True}, {"restart_marker_rows": 1}),
    ][kind % 6]
    mode = ("L", "RGB", "CMYK")[kind % 3]
    stream = io.BytesIO()
    Image.fromarray(colour).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


ENCODED = 17


def valid(rng: random.Random) -> bytes:
    """Chooses a file that a real encoder wrote."""
    return encoded(rng.randrange(ENCODED * 7))


def another_frame(rng: random.Random) -> bytes:
    """Changes type, depth, size or components in the frame header of a real file."""
    data = bytearray(valid(rng))
    at = _frame(data)
    if at < 0:
        return bytes(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        what = rng.randrange(5)
        if what == 0:
            data[at + 1] = 0xC0 + rng.randrange(16)
        elif what == 1:
            data[at + 4] = rng.randrange(17)
        elif what == 2:
            side = rng.choice((*SIDES, *_EDGES))
            struct.pack_into(">H", data, at + rng.choice((5, 7)), side)
        elif what == 3:
            data[at + 9] = rng.choice(_COMPONENTS)
        else:
            data[min(at + 11 + 3 * rng.randrange(4), len(data) - 1)] = rng.choice(
                (0x11, 0x22, 0x21, 0x12, 0x14, 0x41, 0x44, 0x00, 0xFF)
            )
    return bytes(data)


def _frame(data: bytes | bytearray) -> int:
    """Returns the offset of the first frame header, or -1 if there is none."""
    found = (data.find(bytes((0xFF, 0xC0 + i)), 2) for i in range(16) if i not in (4, 8, 12))
    return min((at for at in found if at > 0), default=-1)


def by_markers(rng: random.Random) -> bytes:
    """Makes a file of tables, frames and scans in any order, some with wrong lengths."""
    parts = [b"\xff\xd8"]
    side = (rng.choice(SIDES), rng.choice(SIDES))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        parts += [_tables(rng) for _ in range(rng.randrange(4))]
        components = rng.choice(_COMPONENTS[:6])
        parts.append(_frame_header(rng, side, components))
        for _ in range(rng.choice((1, 1, 2, 10))):
            parts.append(_scan(rng, components))
            if rng.random() < 0.2:
                parts.append(_tables(rng))
    if rng.random() < 0.1:
        rng.shuffle(parts)
        parts.insert(0, b"\xff\xd8\xff")
    return b"".join(parts) + rng.choice((b"\xff\xd9", b"\xff\xd9", b"", b"\xff", b"\xff\xd8"))


def _frame_header(rng: random.Random, side: tuple[int, int], components: int) -> bytes:
    samplings = (0x11, 0x11, 0x22, 0x21, 0x14, 0x44, 0x00)
    each = b"".join(
        bytes((i + 1, rng.choice(samplings), rng.randrange(4))) for i in range(components)
    )
    kind = rng.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB, 0xC0 + rng.randrange(16)))
    depth = rng.choice((8, 8, 8, 12, 16, 2 + rng.randrange(15)))
    head = struct.pack(">BHHB", depth, *side, components)
    return segment(kind, head + each, rng.choice((None,) * 9 + (2,)))


def _scan(rng: random.Random, components: int) -> bytes:
    count = max(1, components) if rng.random() < 0.7 else 1
    each = b"".join(bytes((i + 1, rng.choice((0, 0, 0x11, 0x33)))) for i in range(count))
    spectral = rng.choice(
        (b"\0\x3f\0", b"\0\0\0", b"\1\0\0", b"\0\0\x10", b"\1\x3f\x01", b"\7\0\1")
    )
    body = rng.randbytes(rng.randrange(400)).replace(b"\xff", b"\xff\0")
    if rng.random() < 0.2:
        body += b"".join(bytes((0xFF, 0xD0 + i % 8)) for i in range(rng.randrange(300)))
    return segment(0xDA, bytes((count,)) + each + spectral) + body


def _tables(rng: random.Random) -> bytes:
    what = rng.randrange(9)
    if what <= 1:
        return segment(0xDB, bytes((rng.choice((0, 1, 0x10, 4)),)) + rng.randbytes(64))
    if what <= 3:
        return segment(0xC4, bytes((rng.choice((0, 0x10, 0x11, 0x33)),)) + _TABLE)
    if what == 4:
        return segment(0xDD, struct.pack(">H", rng.choice(_EDGES)))
    if what == 5:
        return segment(0xDC, struct.pack(">H", rng.choice((*_EDGES, *SIDES))))
    if what == 6:
        return segment(0xCC, rng.randbytes(2 * rng.randrange(8)))
    if what == 7:
        return segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, rng.randrange(4)))
    marker = rng.choice((0xE0, 0xE1, 0xE2, 0xFE, 0x01, 0xF0, 0xC8, 0xDE, 0xDF))
    return segment(marker, rng.randbytes(rng.randrange(60)), rng.choice((None, 0, 1, 65_535)))


def flood(rng: random.Random) -> bytes:
    """Repeats one marker so often that reading every one takes much time or memory."""
    data = valid(rng)
    kilobytes = rng.choice((16, 63, 63, 200, 2000, 8000)) if rng.random() < 0.25 else 4
    body = rng.choice(
        (b"", b"", b"x", b"Exif\0\0II*\0\x08\0\0\0\0\0", b"MPF\0", b"ICC_PROFILE\0\1\1")
    )
    kind = rng.choice((0xE1, 0xFE, 0xE0 + rng.randrange(16), 0xC4, 0xDB, 0xDD, 0xD0, 0xD8, 0x01))
    if kind == 0xC4:
        body = b"\0" + _TABLE
    elif kind == 0xDB:
        body = bytes(65)
    elif kind == 0xDD:
        body = b"\0\1"
    one = bytes((0xFF, kind)) if kind in (0xD0, 0xD8, 0x01) else segment(kind, body)
    if rng.random() < 0.1:
        one = b"\xff" * len(one)
    at = 2 if rng.random() < 0.7 else max(data.find(b"\xff\xda"), 2)
    return data[:at] + one * (kilobytes * 1024 // len(one)) + data[at:]


def pictures_behind(rng: random.Random) -> bytes:
    """Makes an index of several pictures (MPO), with or without the pictures."""
    data, count = valid(rng), rng.choice((0, 1, 2, 2, 3, 1000, 65_535, 2**31))
    entries = b"".join(
        struct.pack("<IIIHH", 0x20030000 if i else 0x30000, len(data), i and len(data), 0, 0)
        for i in range(min(count, 20))
    )
    size = rng.choice((len(entries), 16 * count & 0xFFFFFFFF))
    index = struct.pack("<HHII4sHHIIHHIIII", 3, 0xB000, 7, 4, b"0100", 0xB001, 4, 1, count, 0xB002,
                        7, size, 50, rng.choice((0, 0, 8)), 0)[:-4]  # fmt: skip
    mpf = segment(0xE2, b"MPF\0II*\0\x08\0\0\0" + index + entries)
    return data[:2] + mpf + data[2:] + (data if rng.random() < 0.7 else b"")


def metadata(rng: random.Random) -> bytes:
    """Makes EXIF directories that loop, have wrong sizes or repeat one value."""
    data, exif = valid(rng), tags(rng)
    return data[:2] + segment(0xE1, b"Exif\0\0" + exif[:65_000]) + data[2:]


def tags(rng: random.Random) -> bytes:
    """Makes a TIFF directory, as EXIF contains it."""
    order = rng.choice("<>")
    count = rng.choice((0, 1, 2, 5, 5, 5)) if rng.random() < 0.97 else 4000
    known = (0x0112, 0x0112, 0x8769, 0x8825, 0xA005, 0x014A, 0x9286, 0x02BC, 0x0100)
    entries = b"".join(
        struct.pack(
            order + "HHII",
            rng.choice((*known, i)),
            rng.choice((1, 2, 3, 3, 4, 5, 7, 13, 99)),
            rng.choice((1, 1, 1, 4, 1000, 2**31, 2**32 - 1)),
            rng.choice((0, 3, 6, 8, 26, 60, 2**31)),
        )
        for i in range(count)
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, count)
    return (
        head + entries + struct.pack(order + "I", rng.choice((0, 0, 8, 2**31))) + rng.randbytes(60)
    )


def together(rng: random.Random) -> bytes:
    """Joins two files at random cuts, so that frames and images may start twice."""
    first, second = valid(rng), valid(rng)
    return first[: rng.randrange(len(first))] + second[rng.choice((0, 2, rng.randrange(200))) :]


GENERATORS = (
    *(valid, another_frame, another_frame, by_markers, by_markers, flood),
    *(pictures_behind, metadata, together),
)
