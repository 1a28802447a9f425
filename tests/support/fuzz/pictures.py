"""Generates PNG files by chunks, WebP files by RIFF chunks and TIFF files by directories."""

import functools
import random
import struct
import zlib

import imagecodecs
import numpy as np
from PIL import features

from tests.support.fuzz import jpeg

_SIDES = (1, 15, 16, 17, 32, 64, 100)
_EDGES = (0, 2**31 - 1, 2**31, 2**32 - 1, 65_536)


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    """Writes a PNG chunk with the right checksum; `length` replaces the true length."""
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rng: random.Random) -> bytes:
    """Makes a PNG of any type, depth and interlacing, with chunks of every kind anywhere."""
    width, height = rng.choice(_SIDES), rng.choice(_SIDES)
    colour, depth = rng.choice((0, 2, 3, 4, 6, 0, 1)), rng.choice((1, 2, 4, 8, 8, 16, 3))
    interlace = rng.choice((0, 0, 1, 2))
    if rng.random() < 0.1:
        width = rng.choice(_EDGES)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))]
    if colour == 3 or rng.random() < 0.1:
        parts.append(chunk(b"PLTE", rng.randbytes(rng.choice((0, 3, 6, 768, 769, 1500)))))
    parts += [_extra(rng) for _ in range(rng.randrange(4))]
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    row = 1 + (min(width, 100) * channels * depth + 7) // 8
    rows = b"".join(
        bytes((rng.choice((0, 1, 2, 3, 4, 9)),)) + bytes(row - 1) for _ in range(height)
    )
    body = zlib.compress(rows if rng.random() < 0.8 else rows[: rng.randrange(len(rows))], 1)
    cut = rng.randrange(len(body))
    pixels = [chunk(b"IDAT", body)] if rng.random() < 0.7 else [
        chunk(b"IDAT", body[:cut]), chunk(b"IDAT", body[cut:])]  # fmt: skip
    parts += pixels * rng.choice((1, 1, 1, 2, 0))
    parts += [_extra(rng) for _ in range(rng.choice((0, 0, 1, 2)))]
    if rng.random() < 0.05:
        rng.shuffle(parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


@functools.cache
def _packed(size: int) -> bytes:
    return zlib.compress(bytes(size))


def _extra(rng: random.Random) -> bytes:
    kind = rng.choice(
        (b"acTL", b"fcTL", b"fdAT", b"tRNS", b"iCCP", b"zTXt", b"eXIf", b"tEXt", b"iTXt", b"pHYs",
         b"cHRM", b"gAMA", b"sRGB", b"bKGD", b"IHDR", b"PLTE", b"IEND", b"abCd", b"\0\0\0\0")
    )  # fmt: skip
    packed = _packed(rng.choice((0, 10, 10, 100_000, 3_000_000)))
    if kind == b"eXIf":
        return chunk(kind, jpeg.tags(rng))
    bodies = {
        b"acTL": struct.pack(">II", rng.choice((0, 1, 2, 2**31, 2**32 - 1)), rng.choice((0, 1))),
        b"fcTL": struct.pack(
            ">IIIIIHHBB", rng.choice((0, 1)), *(rng.choice((0, 16, 32, 2**31)) for _ in range(4)),
            *(rng.choice((0, 1, 65_535)) for _ in range(2)), rng.randrange(4), rng.randrange(3),
        ),
        b"fdAT": struct.pack(">I", rng.randrange(4)) + packed,
        b"iCCP": b"a\0" + bytes((rng.randrange(2),)) + packed,
        b"zTXt": rng.choice((b"a\0\0", b"Raw profile type exif\0\0", b"a")) + packed,
        b"iTXt": b"a\0\1\0\0\0" + packed,
    }  # fmt: skip
    body = bodies.get(kind) or rng.randbytes(rng.choice((0, 1, 2, 4, 6, 13, 40)))
    return chunk(kind, body, rng.choice((None,) * 15 + (0, 2**31, 2**32 - 1)))


def png_flood(rng: random.Random) -> bytes:
    """Makes a PNG of thousands of chunks of one kind."""
    whole, one = png(rng), _extra(rng)
    size = rng.choice((60_000, 2_000_000)) if rng.random() < 0.05 else 6000
    return whole[:33] + one * min(size // len(one) + 1, 20_000) + whole[33:]


def webp(rng: random.Random) -> bytes:
    """Makes a WebP container of chunks that contradict each other."""
    side = rng.choice(_SIDES)
    frame = _webp_frame(side, rng.random() < 0.7)
    canvas = rng.choice((side, 1, 16_384, 1 << 24))
    head = bytes((rng.randrange(256), 0, 0, 0)) + (canvas - 1).to_bytes(3, "little") * 2
    kinds = {
        b"VP8X": head,
        b"ANIM": struct.pack("<IH", 0, 0),
        b"ANMF": bytes(12) + rng.randbytes(4) + frame,
        b"ALPH": rng.randbytes(rng.randrange(200)),
        b"EXIF": jpeg.tags(rng),
        b"ICCP": rng.randbytes(rng.randrange(200)),
        b"XMP ": b"<x" * rng.randrange(200),
        b"junk": bytes(rng.randrange(9)),
    }
    parts = [_riff(b"VP8X", head)] if rng.random() < 0.7 else []
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        kind = rng.choice(list(kinds))
        parts.append(_riff(kind, kinds[kind], rng.choice((None,) * 20 + (0, 2**31, 2**32 - 1))))
    if parts and rng.random() < 0.02:
        parts += parts[-1:] * 1000
    parts.insert(rng.randrange(len(parts) + 1), frame)
    body = b"WEBP" + b"".join(parts)
    size = rng.choice((len(body),) * 9 + (0, 12, 2**31, 2**32 - 1))
    return b"RIFF" + struct.pack("<I", size) + body


@functools.cache
def _webp_frame(side: int, lossless: bool) -> bytes:
    pixels = np.random.default_rng(side).integers(0, 255, (side, side + 1, 3)).astype(np.uint8)
    return imagecodecs.webp_encode(pixels // 64 * 64, lossless=lossless)[12:]


def _riff(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return kind + struct.pack("<I", size) + data + b"\0" * (len(data) % 2)


_COMPRESSIONS = (
    1,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    7,
    8,
    32_773,
    32_946,
    34_676,
    34_712,
    34_887,
    34_925,
    50_000,
)
_COMPRESSIONS += (50_001, 65_535, 0)
_LONG = {3: "H", 4: "I", 16: "Q", 1: "B"}


def tiff(rng: random.Random) -> bytes:
    """Makes a TIFF of any compression, in strips or tiles, with wrong counts."""
    order, big = rng.choice("<>"), rng.random() < 0.2
    width, height = rng.choice(_SIDES), rng.choice(_SIDES)
    compression = rng.choice(_COMPRESSIONS)
    samples, bits = rng.choice((1, 1, 3, 4, 2)), rng.choice((8, 8, 1, 4, 12, 16, 32, 64))
    body = _tiff_pixels(rng, compression, (height, width, samples))
    values: dict[int, list[int]] = {
        256: [width], 257: [height], 258: [bits] * rng.choice((samples, 1)), 259: [compression],
        262: [rng.choice((0, 1, 1, 2, 3, 5, 6, 8))], 277: [samples],
        284: [rng.choice((1, 1, 2))], 317: [rng.choice((1, 1, 2, 3))], 339: [rng.choice((1, 2, 3))],
        274: [rng.randrange(10)], 338: [rng.randrange(3)], 266: [rng.choice((1, 2))],
    }  # fmt: skip
    pieces = rng.choice((1, 1, 1, 2, height, 1000))
    place, sizes = (324, 325) if rng.random() < 0.3 else (273, 279)
    if place == 324:
        side = rng.choice((16, 16, 64, 15, 0, 2**16, 2**31))
        values |= {322: [side], 323: [rng.choice((16, side))]}
    else:
        values[278] = [rng.choice((height, 1, 0, 2**32 - 1))]
    values |= {place: [-1] * pieces, sizes: [rng.choice((len(body), 0, 2**31))] * pieces}
    if rng.random() < 0.15:
        values |= {330: [8] * rng.choice((1, 100))}  # a directory that points back to this one
    if compression == 6:
        values |= {512: [rng.choice((1, 14))], 513: [-1], 514: [len(body)]}
    if compression == 7 and rng.random() < 0.3:
        values[347] = [*jpeg.by_markers(rng)[:200]]
    if rng.random() < 0.1:
        values[rng.choice(list(values))] = [rng.choice(_EDGES)] * rng.choice((0, 1, 2, 500))
    return _directory(rng, order, big, values, body)


def _tiff_pixels(rng: random.Random, compression: int, shape: tuple[int, int, int]) -> bytes:
    height, width, samples = shape
    raw = bytes(height * width * samples)
    if compression in (6, 7):
        return rng.choice((jpeg.valid, jpeg.another_frame, jpeg.by_markers))(rng)
    if compression in (8, 32_946):
        return zlib.compress(raw, 1) if rng.random() < 0.9 else _packed(5_000_000)
    if compression == 5:
        return imagecodecs.lzw_encode(raw)
    if compression == 32_773:
        return imagecodecs.packbits_encode(raw)
    if compression == 1:
        return raw
    return rng.randbytes(rng.randrange(400))


def _directory(
    rng: random.Random, order: str, big: bool, values: dict[int, list[int]], body: bytes
) -> bytes:
    """Writes a TIFF file whose pixels come first. Negative values are offsets of the pixels."""
    mark = {"<": b"II", ">": b"MM"}[order]
    word, room = ("Q", 8) if big else ("I", 4)
    begin = 16 if big else 8
    at = begin + len(body)
    extra, entries = b"", b""
    end = at + (8 if big else 2) + len(values) * (20 if big else 12) + room
    for tag, numbers in sorted(values.items()):
        numbers = [begin if value < 0 else value for value in numbers]
        kind = (
            1
            if tag == 347 and max(numbers, default=0) < 256
            else 4
            if max(numbers, default=0) > 65_535
            else rng.choice((3, 4))
        )
        packed = struct.pack(order + _LONG[kind] * len(numbers), *numbers)
        if len(packed) > room:
            packed, extra = struct.pack(order + word, end + len(extra)), extra + packed
        entries += struct.pack(order + "HH" + word, tag, kind, len(numbers))
        entries += packed.ljust(room, b"\0")
    count = rng.choice((len(values),) * 15 + (0, 65_535))
    following = rng.choice((0,) * 8 + (at, at, 2**31))
    head = mark + struct.pack(
        order + ("HHHQ" if big else "HI"), *((43, 8, 0) if big else (42,)), at
    )
    directory = struct.pack(order + ("Q" if big else "H"), count) + entries
    return head + body + directory + struct.pack(order + word, following) + extra


assert features.check("webp"), "the generated pictures need Pillow with WebP"
GENERATORS = (png, png, png_flood, webp, tiff, tiff)
