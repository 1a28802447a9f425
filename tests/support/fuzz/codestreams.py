"""Generates compressed pixels of DICOM files: JPEG 2000, JPEG-LS and RLE with unusual headers."""

import functools
import random
import struct

import imagecodecs
import numpy as np

from tests.support.fuzz.jpeg import segment

INTEGERS = (0, 1, 2, 7, 8, 15, 16, 17, 255, 65_535)


@functools.cache
def encoded(kind: str, shape: tuple[int, ...], bits: int) -> bytes:
    """Encodes pixels with a real encoder."""
    dtype = np.uint16 if bits > 8 else np.uint8
    pixels = (np.arange(np.prod(shape)).reshape(shape) * 37 % 251).astype(dtype)
    if kind == "jpeg":
        return imagecodecs.jpeg8_encode(pixels, lossless=dtype == np.uint16)
    if kind == "ls":
        return imagecodecs.jpegls_encode(pixels)
    return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k")


def jpeg2000(rng: random.Random, shape: tuple[int, ...]) -> bytes:
    """Makes a JPEG 2000 codestream by its markers (ITU-T T.800, annex A), with wrong tile parts."""
    real = encoded("j2k", shape, rng.choice((8, 16)))
    at = real.find(b"\xff\x90")
    if rng.random() < 0.6:
        head = real[:at]
    else:
        height, width, count = *shape[:2], shape[2] if len(shape) == 3 else 1
        tile = rng.choice((width, 1, 4, 0, 2**31))
        sizes = (width, height, 0, 0, tile, rng.choice((height, tile)), 0, 0)
        each = bytes((rng.choice((7, 15, 37)), rng.choice((1, 1, 2, 0)), 1)) * count
        head = b"\xff\x4f" + segment(0x51, struct.pack(">H8IH", 0, *sizes, count) + each)
        levels = rng.choice((0, 1, 5, 5, 32, 33, 255))
        coding = struct.pack(
            ">BBHBBBBBB", rng.choice((0, 1, 2, 4)), rng.randrange(5), rng.choice((1, 1, 9, 65_535)),
            rng.randrange(2), levels, rng.choice((4, 4, 0, 8)), rng.choice((4, 4, 0, 15)), 0, 1
        )  # fmt: skip
        head += segment(0x52, coding + rng.choice((b"", b"\x11", b"\0")) * (levels + 1))
        head += segment(0x5C, bytes([0x40] + [64] * (1 + 3 * levels)))
    extras = (0x53, 0x5D, 0x5E, 0x5F, 0x55, 0x57, 0x58, 0x60, 0x61, 0x63, 0x64, 0x91)
    for _ in range(rng.choice((0, 0, 1, 3, 500))):
        body = rng.randbytes(rng.choice((0, 1, 3, 9)))
        head += segment(rng.choice(extras), body, rng.choice((None,) * 9 + (0, 1, 2, 65_535)))
    parts = [_tile_part(rng, real[at + 12 : -2]) for _ in range(rng.choice((1, 1, 1, 2, 5, 300)))]
    return head + b"".join(parts)[:60_000] + rng.choice((b"\xff\xd9", b"\xff\xd9", b""))


def _tile_part(rng: random.Random, body: bytes) -> bytes:
    whole = 12 + len(body)
    long = rng.choice((whole, whole, 0, 1, 2, 10, 12, 12, 13, 14, whole - 1, 2**31, 2**32 - 12))
    tile, index, count = (
        rng.choice((0, 0, 1, 65_535)),
        rng.choice((0, 0, 1)),
        rng.choice((1, 0, 255)),
    )
    if rng.random() < 0.1:
        body = segment(rng.choice((0x52, 0x53, 0x58, 0x61)), rng.randbytes(9)) + body
    if rng.random() < 0.2:
        body = rng.choice((b"", b"\xff\x93", body[: len(body) // 2]))
    return segment(0x90, struct.pack(">HIBB", tile, long & 0xFFFFFFFF, index, count)) + body


def jpeg_ls(rng: random.Random, shape: tuple[int, ...], bits: int) -> bytes:
    """Makes a JPEG-LS codestream with unusual parameters (ITU-T T.87, annex C)."""
    data = bytearray(encoded("ls", shape, bits))
    scan = data.find(b"\xff\xda")
    if rng.random() < 0.5:
        data[scan + 5 + 2 * data[scan + 4]] = rng.choice((0, 1, 127, 255))  # NEAR
        data[scan + 6 + 2 * data[scan + 4]] = rng.randrange(4)  # interleave
    frame = data.find(b"\xff\xf7")
    if rng.random() < 0.4:
        data[frame + 4] = rng.choice((2, 8, 12, 16, 0, 17))
    if rng.random() < 0.3:
        struct.pack_into(">H", data, frame + rng.choice((5, 7)), rng.choice((*INTEGERS, 16, 64)))
    presets = struct.pack(">BHHHHH", rng.randrange(6), *(rng.choice(INTEGERS) for _ in range(5)))
    for _ in range(rng.choice((0, 1, 1, 500))):
        data[scan:scan] = segment(0xF8, presets)
    return bytes(data)


def run_lengths(rng: random.Random, shape: tuple[int, ...], bits: int) -> bytes:
    """Makes RLE segments with a wrong number and wrong offsets (DICOM PS3.5, annex G)."""
    planes = max(bits // 8, 1) * (shape[2] if len(shape) == 3 else 1)
    one = bytes((129, 0)) * (int(shape[0] * shape[1]) // 128 + 1)
    count = rng.choice((planes, planes, planes, 0, 1, 15, 2**32 - 1))
    places = [64 + len(one) * i for i in range(min(planes, 15))]
    if rng.random() < 0.3:
        places = [rng.choice((0, 64, 65, 2**31, 2**32 - 1)) for _ in places]
    head = struct.pack(f"<{1 + len(places)}I", count, *places).ljust(64, b"\0")
    body = one * planes if rng.random() < 0.8 else rng.randbytes(rng.randrange(300))
    return head + body
