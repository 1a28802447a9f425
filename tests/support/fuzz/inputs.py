"""An input of the fuzzer from its number: damaged valid bytes, or generated from a grammar."""

import random
import struct
import zlib
from collections.abc import Sequence

from tests.support.fuzz.worker import ROOM, Road

LARGEST = 1 << 16  # bytes of an input that is damaged; generated floods may be longer
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def made(name: str, seed: int, number: int, corpus: Sequence[bytes], road: Road) -> bytes:
    """The input of a number: a function of the road, the seed, the number and the corpus."""
    rng = random.Random(f"{name} {seed} {number}")
    if not road.generators or rng.random() >= road.generated:
        return changed(rng, corpus)
    data = rng.choice(road.generators)(rng)
    if len(data) <= LARGEST and rng.random() < 0.25:
        data = changed(rng, [data])
    return data[:ROOM]


def changed(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """An input made of one or two of the corpus."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not data:
            break
        at, kind = rng.randrange(len(data)), rng.randrange(7)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            edge, size = rng.choice(_EDGES), rng.choice((1, 2, 4))
            order = rng.choice(("little", "big"))
            data[at : at + size] = (edge & (256**size - 1)).to_bytes(size, order)
        elif kind == 3:
            del data[at : at + rng.randrange(1, 64)]
        elif kind == 4:
            begin = rng.randrange(len(data))
            data[at:at] = data[begin : begin + rng.randrange(1, 64)]
        elif kind == 5:
            other = rng.choice(corpus)
            data[at:] = other[rng.randrange(len(other) + 1) :]
        else:
            del data[at:]
    data = data[:LARGEST]
    return mended(bytes(data)) if rng.random() < 0.7 else bytes(data)


def mended(data: bytes) -> bytes:
    """A PNG with correct checksums, since a reader looks no further than a wrong one."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    whole, at = bytearray(data), 8
    while at + 12 <= len(whole):
        (length,) = struct.unpack_from(">I", whole, at)
        end = at + 8 + length
        if end + 4 > len(whole):
            break
        struct.pack_into(">I", whole, end, zlib.crc32(whole[at + 4 : end]))
        at = end + 4
    return bytes(whole)
