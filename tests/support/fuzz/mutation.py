"""Makes the fuzzer's inputs: damaged files of the corpus, or files generated from a grammar."""

import random
import struct
import zlib
from collections.abc import Sequence

from tests.support.fuzz.worker import MAX_INPUT, Target

LARGEST = 1 << 16  # bytes of a damaged input; generated floods may be longer
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def made(name: str, seed: int, number: int, corpus: Sequence[bytes], target: Target) -> bytes:
    """Makes one input, a function of target, seed, number and corpus."""
    rng = random.Random(f"{name} {seed} {number}")
    if not target.generators or rng.random() >= target.generated:
        return changed(rng, corpus)
    data = rng.choice(target.generators)(rng)
    if len(data) <= LARGEST and rng.random() < 0.25:
        data = changed(rng, [data])
    return data[:MAX_INPUT]


def changed(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Damages one file of the corpus, or joins parts of two."""
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
    """Corrects the checksums of a PNG, since readers stop at the first wrong one."""
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
