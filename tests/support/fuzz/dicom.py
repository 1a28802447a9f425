"""Generates DICOM files by their elements (PS3.5), with pixels of every transfer syntax."""

import random
import struct
import zlib

import numpy as np

from tests.support.fuzz import jpeg
from tests.support.fuzz.codestreams import INTEGERS, encoded, jpeg2000, jpeg_ls, run_lengths

_SIDES = (16, 17, 24, 32, 64, 15, 1)
_UID = "1.2.840.10008.1.2"
_PLAIN = ("", ".1", ".1", ".2", ".1.99")
_JPEG = tuple(f".4.{n}" for n in (50, 51, 57, 70, 52, 53))
_LS, _J2K, _RLE = (".4.80", ".4.81"), (".4.90", ".4.91", ".4.90", ".4.91", ".4.201", ".4.202"), ".5"
_SYNTAXES = (*_PLAIN, *_JPEG, *_LS, *_J2K, *_J2K, _RLE, ".4.100", ".7.9")
_LONG_FORM = ("OB", "OW", "SQ", "UN", "UT", "OF", "OD", "UC")
_FOREVER = 0xFFFFFFFF
_NUMBERS = (
    "0",
    "1",
    "500",
    "-500",
    "nan",
    "inf",
    "1e308",
    "-1e308",
    "1e-320",
    "",
    "x",
    "1\\2",
    "0_1",
)


class Writer:
    """Writes elements in one byte order ("<" or ">"), with or without their value types."""

    def __init__(self, order: str, typed: bool) -> None:
        self.order, self.typed = order, typed

    def element(self, tag: int, kind: str, value: bytes, length: int | None = None) -> bytes:
        """Writes one element; `length` replaces the true length."""
        value += b"\0" * (len(value) % 2)
        size = len(value) if length is None else length
        head = struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)
        if not self.typed:
            return head + struct.pack(self.order + "I", size) + value
        if kind in _LONG_FORM:
            return head + kind.encode() + struct.pack(self.order + "HI", 0, size) + value
        return head + kind.encode() + struct.pack(self.order + "H", size & 0xFFFF) + value

    def number(self, tag: int, value: int) -> bytes:
        """Writes a 16-bit element."""
        return self.element(tag, "US", struct.pack(self.order + "H", value & 0xFFFF))

    def item(self, value: bytes, length: int | None = None, low: int = 0xE000) -> bytes:
        """Writes an item of a sequence, or a fragment of pixels."""
        size = len(value) if length is None else length
        return struct.pack(self.order + "HHI", 0xFFFE, low, size) + value

    def sequence(self, tag: int, items: bytes, ended: bool = True) -> bytes:
        """Writes a sequence of undefined length."""
        end = self.item(b"", 0, 0xE0DD) if ended else b""
        return self.element(tag, "SQ", b"", _FOREVER) + items + end


def dicom(rng: random.Random, *, pixels: bytes | None = None, syntax: str | None = None) -> bytes:
    """Makes a file of any transfer syntax, whose elements may contradict each other."""
    given = rng.choice(_SYNTAXES) if syntax is None else syntax
    write = Writer(">" if given == ".2" else "<", given != "")
    if rng.random() < 0.03:
        write = Writer(rng.choice("<>"), rng.random() < 0.5)
    rows, columns = rng.choice(_SIDES), rng.choice(_SIDES)
    bits = rng.choice((8, 8, 16, 16, 12, 1, 32))
    colour = rng.random() < 0.15
    values = {
        0x00280002: 3 if colour else rng.choice((1, 1, 1, 1, 0, 2)),
        0x00280010: rows,
        0x00280011: columns,
        0x00280100: bits,
        0x00280101: rng.choice((bits, bits, bits, 12, 10, 7)),
        0x00280103: rng.choice((0, 0, 1)),
    }
    values[0x00280102] = values[0x00280101] - 1
    if rng.random() < 0.2:
        values[rng.choice(list(values))] = rng.choice(INTEGERS)
    kinds = ("RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR") if colour else (
        "MONOCHROME1", "MONOCHROME2", "MONOCHROME2")  # fmt: skip
    elements = {tag: write.number(tag, value) for tag, value in values.items()}
    elements[0x00280004] = write.element(0x00280004, "CS", rng.choice(kinds).encode())
    if colour:
        elements[0x00280006] = write.number(0x00280006, rng.choice((0, 1, 0, 1, 2)))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4))):
        tag, element = _more(rng, write)
        elements[tag] = element
    shape = (rows, columns, 3) if colour else (rows, columns)
    stored = pixels if pixels is not None else _stored(rng, given, shape, bits)
    elements[0x7FE00010] = _pixel_element(rng, write, given, stored)
    ordered = sorted(elements) if rng.random() < 0.95 else rng.sample(list(elements), len(elements))
    return file(rng, given, b"".join(elements[tag] for tag in ordered))


def file(rng: random.Random, syntax: str, body: bytes) -> bytes:
    """Joins preamble, meta information and data set; the first two may be missing."""
    write = Writer("<", True)
    uid = (_UID + syntax).encode()
    meta = write.element(0x00020010, "UI", uid + b"\0" * (len(uid) % 2))
    length = write.element(0x00020000, "UL", struct.pack("<I", len(meta)))
    if syntax == ".1.99":
        deflate = zlib.compressobj(1, wbits=-15)
        body = deflate.compress(body) + deflate.flush()
    start = rng.random()
    if start < 0.03:
        return body
    return (b"" if start < 0.06 else bytes(128) + b"DICM") + length + meta + body


def _stored(rng: random.Random, syntax: str, shape: tuple[int, ...], bits: int) -> bytes:
    if syntax in _PLAIN:
        return bytes(int(np.prod(shape)) * (bits // 8))
    choice = rng.random()
    if syntax in _JPEG:
        makers = (jpeg.valid, jpeg.another_frame, jpeg.by_markers, jpeg.flood)
        return rng.choice(makers)(rng) if choice < 0.5 else encoded("jpeg", shape, bits)
    if syntax in _LS:
        return jpeg_ls(rng, shape, bits) if choice < 0.7 else encoded("ls", shape, bits)
    if syntax in _J2K:
        return jpeg2000(rng, shape) if choice < 0.7 else encoded("j2k", shape, bits)
    return run_lengths(rng, shape, bits)


def _pixel_element(rng: random.Random, write: Writer, syntax: str, stored: bytes) -> bytes:
    kind = rng.choice(("OB", "OW"))
    if syntax in _PLAIN:
        length = None if rng.random() < 0.9 else rng.choice((0, len(stored) // 2, 2**31, _FOREVER))
        return write.element(0x7FE00010, kind, stored, length)
    stored += b"\0" * (len(stored) % 2)
    pieces = rng.choice((1, 1, 1, 2, 5))
    size = max(len(stored) // pieces, 1)
    fragments = [stored[at : at + size] for at in range(0, len(stored), size)]
    table = rng.choice((b"", b"", struct.pack("<I", rng.choice((0, 8, 2**31))), bytes(400)))
    items = write.item(table) + b"".join(
        write.item(part, rng.choice((None,) * 30 + (0, 2**31, _FOREVER))) for part in fragments
    )
    if rng.random() < 0.03:
        items += write.item(b"") * 3000
    end = write.item(b"", 0, 0xE0DD) if rng.random() < 0.95 else b""
    return write.element(0x7FE00010, "OB", b"", _FOREVER) + items + end


def _more(rng: random.Random, write: Writer) -> tuple[int, bytes]:
    """Makes an element that changes how pixels are shown, or one that readers ignore."""
    what = rng.randrange(8)
    if what == 0:
        tag = rng.choice((0x00281050, 0x00281051, 0x00281052, 0x00281053))
        return tag, write.element(tag, "DS", rng.choice(_NUMBERS).encode())
    if what == 1:
        tag = 0x00281056
        return tag, write.element(tag, "CS", rng.choice((b"SIGMOID", b"LINEAR_EXACT", b"x")))
    if what == 2:
        tag = 0x00280120
        return tag, write.number(tag, rng.choice(INTEGERS))
    if what == 3:
        tag = 0x00280008
        return tag, write.element(tag, "IS", rng.choice((*_NUMBERS, "2000000000")).encode())
    tag = rng.choice((0x00283000, 0x00283010, 0x00081140, 0x00091001))
    if what <= 5:
        entries = rng.choice((0, 1, 2, 256, 4096, 65_535))
        table = bytes(2 * min(entries, rng.choice((entries, 16))))
        descriptor = struct.pack(
            write.order + "HHH", entries, rng.choice((0, 5, 65_535)), rng.choice((8, 16, 12, 0, 99))
        )
        item = write.element(0x00283002, rng.choice(("US", "SS", "OW")), descriptor)
        item += write.element(0x00283006, rng.choice(("US", "OW", "SQ")), table)
        return tag, write.sequence(tag, write.item(item) * rng.choice((0, 1, 1, 2)))
    if what == 6:
        deep = b""
        for _ in range(rng.choice((2, 10, 200))):
            deep = write.sequence(tag, write.item(deep, rng.choice((None, _FOREVER))))
            if len(deep) > 40_000:
                break
        return tag, deep
    kind = rng.choice(("SQ", "UN", "LO", "FD", "AT", "UT", "ZZ", "US"))
    return tag, write.element(tag, kind, rng.randbytes(rng.randrange(40)))


def flood(rng: random.Random) -> bytes:
    """Makes a file of many small items, elements or nested sequences."""
    write = Writer("<", rng.random() < 0.7)
    large = rng.random() < 0.02
    size = rng.choice((500_000, 2_000_000)) if large else rng.choice((4000, 60_000))
    tag = rng.choice((0x00283010, 0x00081140, 0x00283000, 0x00281050, 0x00091001))
    what = rng.randrange(5)
    if what == 0:
        one = write.item(rng.choice((b"", write.number(0x00280010, 16))))
        many = write.sequence(tag, one * (size // len(one)), rng.random() < 0.5)
    elif what == 1:
        one = write.element(tag, "SQ", b"", _FOREVER) + write.item(b"", _FOREVER)
        many = one * (size // len(one))
    elif what == 2:
        one = rng.choice((write.number(0x00280010, 16), write.element(tag, "DS", b"")))
        many = one * (size // len(one))
    elif what == 3:
        many = write.element(tag, "UN" if write.typed else "", b"1\\" * (size // 2))
    else:
        many = b"".join(
            write.element(0x00090000 + i % 65_536, "UN", b"") for i in range(size // 12)
        )
    syntax = ".1" if write.typed else ""
    whole = dicom(rng, syntax=syntax, pixels=bytes(64 * 64))
    at = whole.find(struct.pack("<HH", 0x28, 2))
    return whole[: max(at, 0)] + many + whole[max(at, 0) :]


GENERATORS = (dicom, dicom, dicom, dicom, dicom, flood)
