"""Small DICOM files for which pydicom would make millions of objects are refused."""

import struct
import time

import numpy as np
import pytest

from pneumojax.decoding import dicom, dicom_file
from pneumojax.decoding.dicom import decode_dicom
from pneumojax.decoding.film_error import FilmError

GREY = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
UNDEFINED = 0xFFFFFFFF
SIZE = 4 << 20  # bytes of a flood; pydicom took 4 to 30 s for one, and 60 MB took two minutes
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
OPEN_ITEM, CLOSE_ITEM = (
    struct.pack("<HHI", 0xFFFE, *of) for of in ((0xE000, UNDEFINED), (0xE00D, 0))
)
CLOSE_SEQUENCE = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
VOI_LUTS = (0x0028, 0x3010)


def shown(data):
    return np.asarray(decode_dicom(data)[0])


def element(group, number, vr, value):
    return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value


def sequence(group, number, items):
    """A sequence of undefined length."""
    return struct.pack("<HH2sHI", group, number, b"SQ", 0, UNDEFINED) + items + CLOSE_SEQUENCE


def in_item(elements):
    return OPEN_ITEM + elements + CLOSE_ITEM


def meta_end(data):
    return 144 + int.from_bytes(data[140:144], "little")


def before_pixels(data, more):
    at = data.rindex(b"\xe0\x7f\x10\x00")
    return data[:at] + more + data[at:]


def behind_meta(data, more):
    return data[: meta_end(data)] + more + data[meta_end(data) :]


def in_meta(data, more):
    return data[:132] + more + data[meta_end(data) :]


FLOODS = {
    "empty items of a sequence that is not read": (
        before_pixels,
        sequence(0x0028, 0x9999, ITEM * (SIZE // 8)),
    ),
    "empty items of a sequence that is read": (
        before_pixels,
        sequence(*VOI_LUTS, ITEM * (SIZE // 8)),
    ),
    "the same of known length": (before_pixels, element(*VOI_LUTS, b"SQ", ITEM * (SIZE // 8))),
    "the same of 1 MB": (before_pixels, element(*VOI_LUTS, b"SQ", ITEM * (1 << 16))),
    "the same of unknown type": (before_pixels, element(*VOI_LUTS, b"UN", ITEM * (1 << 16))),
    "empty elements in an item": (
        before_pixels,
        sequence(0x0028, 0x9999, in_item(struct.pack("<HH2sH", 8, 0, b"LO", 0) * (SIZE // 8))),
    ),
    "empty elements": (behind_meta, struct.pack("<HH2sH", 8, 0, b"LO", 0) * (SIZE // 8)),
    "sequences in sequences": (
        before_pixels,
        sequence(0x0028, 0x9999, in_item(sequence(0x0028, 0x9999, b"")) * (SIZE // 48)),
    ),
    "rows that are a sequence": (before_pixels, element(0x0028, 0x10, b"SQ", ITEM * (SIZE // 8))),
    "rows that are a list": (before_pixels, element(0x0028, 0x10, b"UN", b"\1\0" * (SIZE // 2))),
    "a list of windows": (before_pixels, element(0x0028, 0x1050, b"UN", b"1\\" * (SIZE // 2))),
    "a list of character sets": (behind_meta, element(8, 5, b"UN", b"a\\" * (SIZE // 2))),
    "the same in an unread item": (
        before_pixels,
        sequence(0x0028, 0x9999, in_item(element(8, 5, b"UT", b"a\\" * (SIZE // 2)))),
    ),
    "a list of transfer syntaxes": (in_meta, element(2, 0x10, b"UN", b"1.2\\" * (SIZE // 4))),
    "meta that begins with a list": (in_meta, element(2, 3, b"UN", b"1.2\\" * (SIZE // 4))),
    "a list of what a table is": (
        before_pixels,
        sequence(*VOI_LUTS, in_item(element(0x0028, 0x3002, b"UN", b"\0\1" * (SIZE // 2)))),
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_refused_before_it_is_parsed(make_dicom, flood):
    put, more = FLOODS[flood]
    began = time.process_time()
    with pytest.raises(FilmError, match="DICOM"):
        decode_dicom(put(make_dicom(GREY), more))
    assert time.process_time() - began < 3  # about 1 s if the limit is used up


def test_a_flood_in_a_deflated_file_is_refused_too(make_dicom):
    import zlib

    data = make_dicom(GREY, "deflated")
    head = data[: meta_end(data)]
    plain = zlib.decompress(data[len(head) :], -zlib.MAX_WBITS)
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    flooded = before_pixels(plain, sequence(0x0028, 0x9999, ITEM * (SIZE // 8)))
    with pytest.raises(FilmError, match="DICOM"):
        decode_dicom(head + deflate.compress(flooded) + deflate.flush())


def test_empty_fragments_are_counted(make_dicom):
    data = make_dicom(GREY, "baseline")
    at = data.index(b"\xff\xd8\xff") - 8
    few = data[:at] + ITEM * 1000 + data[at:]
    np.testing.assert_array_equal(shown(few), shown(data))
    for count in (dicom.MAX_FRAGMENTS, 500_000):
        with pytest.raises(FilmError, match="^DICOM of too many (fragments|elements)$"):
            decode_dicom(data[:at] + ITEM * count + data[at:])


def test_a_frame_in_many_fragments_is_joined(make_dicom):
    data = make_dicom(GREY, "baseline")
    at = data.index(b"\xff\xd8\xff")
    (length,) = struct.unpack_from("<I", data, at - 4)
    frame, rest = data[at : at + length], data[at + length :]
    parts = [frame[i : i + 10] for i in range(0, len(frame), 10)]
    items = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in parts)
    np.testing.assert_array_equal(shown(data[: at - 8] + items + rest), shown(data))


def run_lengths(segment, count=1):
    header = struct.pack("<16I", count, *[64] * count, *[0] * (15 - count))
    return header + segment


def test_run_lengths_are_not_decoded_beyond_the_pixels(make_dicom):
    data = make_dicom(GREY, "rle")
    at = data.index(struct.pack("<II", 1, 64))
    (length,) = struct.unpack_from("<I", data, at - 4)
    for segment in (b"\x81\0" * (SIZE // 2), b"\x81\0" * 100, b"\x81\0" * 10, b"\x7f", b""):
        frame = run_lengths(segment)
        frame += bytes(len(frame) % 2)
        item = struct.pack("<I", len(frame)) + frame
        with pytest.raises(FilmError, match="DICOM"):
            decode_dicom(data[: at - 4] + item + data[at + length :])
    wrong = data[:at] + struct.pack("<I", 2) + data[at + 4 :]
    with pytest.raises(FilmError, match="do not match its header"):
        decode_dicom(wrong)


@pytest.mark.parametrize("shape, dtype", [((41, 57), np.uint16), ((40, 56, 3), np.uint8)])
def test_run_lengths_of_every_pixel_are_those_of_pydicom(make_dicom, shape, dtype):
    import io

    import pydicom

    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    data = make_dicom(pixels, "rle")
    read = dicom.stored_pixels(dicom_file.read_elements(data))
    expected = pydicom.dcmread(io.BytesIO(data)).pixel_array
    np.testing.assert_array_equal(read, expected)
    np.testing.assert_array_equal(read, pixels)


def test_a_film_may_have_hundreds_of_elements_and_large_tables(make_dicom):
    private = b"".join(element(0x0009, 0x1000 + n, b"UN", bytes(99)) for n in range(2000))
    deep = sequence(0x0028, 0x9999, in_item(element(0x0009, 0x1000, b"UN", bytes(SIZE))) * 2)
    table = struct.pack("<HH2sHHHH", 0x0028, 0x3002, b"US", 6, 256, 0, 16)
    table += element(0x0028, 0x3006, b"OW", np.arange(0, 65536, 256, np.uint16).tobytes())
    data = behind_meta(make_dicom(GREY), private)
    data = before_pixels(data, deep + sequence(*VOI_LUTS, in_item(table) * 20))
    grey = shown(data).astype(int)
    assert np.abs(grey - GREY).max() <= 1  # 65280 is the brightest of 16 bits here
