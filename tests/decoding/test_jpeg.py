"""JPEG files of every process, and files whose markers two readers would read differently."""

import base64
import io
import struct
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from pneumojax.decoding.film import decode_film
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_any, decode_any_grey
from pneumojax.decoding.jpeg import MAX_SEGMENTS, read_header
from pneumojax.decoding.preprocessing import Preprocessing

GREY = (np.add.outer(np.arange(448) * 3, np.arange(448) * 2) % 256).astype(np.uint8)
RGB = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)
# 128 x 128, grey, arithmetic coding (SOF9), as `cjpeg -arithmetic` of libjpeg-turbo 2.1 writes
# r + c with its lowest bit cleared. No encoder among the requirements can write it.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4"
    "UG1RV19iZ2hnPk1xeXBkeFxlZ2P/yQALCACAAIABAREA/8wABgAQEAX/2gAIAQEAAD8A/wCTH/mGcFD8Ypd3E8Zor2SG"
    "pqPJ/PpikBa00AEARANA6YdxbcQ1mDkQjK+ucVocGmKE/wDsvl2K94n6UIYdjPjudfnzvyRMBAQVFWjy7U+GFlHw5QUF"
    "BQUFBUmRR/1XeQ3J321tbW1tbW1t9abQNiTXw53LiKPr/ODIF6LzgFTXHdXV1dXV1dXV1dXV+neTz913lp6xQUFBQUFB"
    "QUFjbUShPjarodTHPdIlLMzeoCxbKSjRYpvQeBJCQkJCQkJke0tlJ+xQo8CSEhISEhISEhMj2lspDNxHgYGBgYGBgYGB"
    "gYOj585t+z727u7u7u7u7u7u7v8A/wDjA+XKnKSkpKSkpKSkpKSltf7kHKfYmMjIyMjIyMjIyMjg/9k="
)
READ = """
import sys
from pathlib import Path
from pneumojax.decoding.film import decode_film
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.decoding.formats import decode_any
for path in map(Path, sys.argv[1:]):
    print(path.stem, end=": ", flush=True)
    answers = {
        decode(path.read_bytes(), Preprocessing(32, reduced_decode=reduced))[0].tobytes()
        for reduced in (True, False)
        for _ in range(3)  # an overwritten heap shows at a later allocation
        for decode in (decode_film, decode_any)
    }
    print(len(answers), "answer", flush=True)
"""


def encoded(image, kind="JPEG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(mode="L"):
    return encoded(Image.fromarray(RGB).convert(mode), quality=90)


def behind_start(data, more):
    """Inserts segments after the start of the picture."""
    return data[:2] + more + data[2:]


def segment(marker, body=b""):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def of_frame(number, data=None):
    """Makes a JPEG claim another process."""
    data = data or jpeg()
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([0xC0 + number]) + data[at + 2 :]


LOSSLESS = {
    "constant grey": lambda: imagecodecs.ljpeg_encode(np.full((224, 224), 0x41, np.uint8)),
    "grey by lj92": lambda: imagecodecs.ljpeg_encode(GREY),
    **{
        f"grey, predictor {p}": lambda p=p: imagecodecs.jpeg8_encode(
            GREY, lossless=True, predictor=p
        )
        for p in range(1, 8)
    },
    "colour": lambda: imagecodecs.jpeg8_encode(RGB, lossless=True),
}


def test_lossless_jpegs_are_read_and_overwrite_nothing(tmp_path):
    paths = [tmp_path / f"{kind}.jpg" for kind in LOSSLESS]
    for path, make in zip(paths, LOSSLESS.values(), strict=True):
        path.write_bytes(make())
    child = subprocess.run(
        [sys.executable, "-c", READ, *map(str, paths)], capture_output=True, text=True, timeout=60
    )
    assert child.stdout.splitlines() == [f"{kind}: 1 answer" for kind in LOSSLESS]
    assert (child.returncode, child.stderr) == (0, "")


@pytest.mark.parametrize("reduced", [False, True])
def test_a_lossless_jpeg_keeps_every_grey_level_whatever_reduction_is_allowed(reduced):
    settings = Preprocessing(64, reduced_decode=reduced)
    for pixels in (GREY, RGB):
        expected = decode_any(encoded(Image.fromarray(pixels), "PNG"), settings)
        film = decode_any(imagecodecs.jpeg8_encode(pixels, lossless=True), settings)
        np.testing.assert_array_equal(film.pixels, expected.pixels)
        assert film[1:] == expected[1:]
    np.testing.assert_array_equal(np.asarray(decode_any_grey(imagecodecs.ljpeg_encode(GREY))), GREY)


@pytest.mark.parametrize("bits", [*range(2, 8), *range(9, 17)])
def test_lossless_samples_of_other_than_eight_bits_are_refused(bits):
    pixels = (GREY.astype(np.uint16) * 257 >> 16 - bits).astype(np.uint8 if bits < 9 else np.uint16)
    data = imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits)
    with pytest.raises(
        FilmError, match=f"^lossless JPEG of {bits} bits: only 8 bits outside DICOM"
    ):
        decode_film(data, Preprocessing(32, reduced_decode=True))


@pytest.mark.parametrize("number", [5, 6, 7, 11, 13, 14, 15])
def test_processes_that_are_not_read_are_named(number, make_dicom):
    reason = rf"with an unsupported JPEG process \(SOF{number}\)$"
    with pytest.raises(FilmError, match="^JPEG " + reason):
        decode_any(of_frame(number), Preprocessing(32))
    data = make_dicom(GREY, "baseline")
    original = imagecodecs.jpeg8_encode(GREY, 100)
    assert original in data
    at = original.index(b"\xff\xc0") + 1
    frame = original[:at] + bytes([0xC0 + number]) + original[at + 1 :]
    with pytest.raises(FilmError, match="^DICOM " + reason):
        decode_any(data.replace(original, frame), Preprocessing(32))


def test_arithmetic_coding_may_be_decoded_at_reduced_size():
    assert read_header(ARITHMETIC).frame == 9
    full, reduced = (decode_film(ARITHMETIC, Preprocessing(32, reduced_decode=r)) for r in (0, 1))
    plane = np.add.outer(np.arange(32), np.arange(32)) * 4 + 3
    for pixels, *_ in (full, reduced):
        assert np.abs(pixels.astype(int) - plane).max() <= 6  # quality 50


def test_only_frames_of_dct_coefficients_are_drafted():
    # For any other process libjpeg-turbo writes rows of 448 samples into a buffer of 56.
    assert [n for n in range(16) if _scalable(n)] == [0, 1, 2, 9, 10]


def _scalable(number):
    try:
        return read_header(of_frame(number)).scalable
    except FilmError:
        return False


FRAME = segment(0xC0, struct.pack(">BHHB3B", 8, 448, 448, 1, 1, 0x11, 0))


@pytest.mark.parametrize(
    "data",
    [
        behind_start(jpeg(), FRAME),
        behind_start(jpeg(), FRAME.replace(b"\x01\xc0\x01\xc0", b"\x00\x20\x00\x20")),
        behind_start(imagecodecs.ljpeg_encode(GREY), FRAME),
        behind_start(jpeg(), segment(0xDE, FRAME[4:])),
        behind_start(jpeg(), segment(0xDF, b"\x11")),
        behind_start(jpeg(), b"\xff\xd9\xff\xd8"),
        behind_start(jpeg(), b"\xff\xc8"),
        behind_start(jpeg(), b"\xff\xd0"),
        behind_start(jpeg(), b"\xff\xf0"),
        behind_start(jpeg(), b"\xff\xe0\0\1"),
        behind_start(jpeg(), b"\xff\xda\0\x08\1\1\0\0\x3f\0"),
        jpeg().replace(b"\x01\xc0\x01\xc0\x01\x01\x11", b"\x01\xc0\x01\xc0\x03\x01\x11", 1),
    ],
    ids=[
        *("two frames", "two sizes", "two processes", "hierarchical", "expansion", "two starts"),
        *("JPG", "restart", "JPG0", "a length of 1", "a scan without a frame", "components"),
    ],
)
def test_markers_that_can_be_read_in_two_ways_are_refused(data):
    with pytest.raises(FilmError, match="^damaged JPEG header$"):
        decode_any(data, Preprocessing(32, reduced_decode=True))


def test_a_second_frame_behind_the_first_scan_is_damage():
    data = jpeg()
    for more in (FRAME, segment(0xC3, FRAME[4:])):
        with pytest.raises(FilmError, match="^(damaged|truncated) JPEG"):
            decode_any(data[:-900] + more + data[2:], Preprocessing(32, reduced_decode=True))


def test_a_height_that_only_a_later_marker_tells_is_refused():
    data = jpeg().replace(b"\x08\x01\xc0\x01\xc0", b"\x08\x00\x00\x01\xc0", 1)
    data = data[:-2] + segment(0xDC, b"\x01\xc0") + b"\xff\xd9"
    with pytest.raises(FilmError):
        decode_any(data, Preprocessing(32, reduced_decode=True))


@pytest.mark.parametrize("photometric", [1, 2])
def test_a_lossless_jpeg_in_a_tiff_keeps_its_pixels(photometric):
    from tests.support.bomb_files import tiff

    pixels = GREY if photometric == 1 else RGB
    body = imagecodecs.jpeg8_encode(pixels, lossless=True)
    bits = (3, 1, 8) if photometric == 1 else (3, 3, -1 - len(body))
    numbers = {256: 448, 257: 448, 259: 7, 262: photometric, 277: 1 if photometric == 1 else 3}
    tags = {tag: (4, 1, value) for tag, value in numbers.items()} | {258: bits, 278: (4, 1, 448)}
    tags |= {273: (4, 1, -1), 279: (4, 1, len(body))}
    film = decode_any(tiff(tags, body + struct.pack("<3H", 8, 8, 8)), Preprocessing(64))
    expected = decode_any(encoded(Image.fromarray(pixels), "PNG"), Preprocessing(64))
    np.testing.assert_array_equal(film.pixels, expected.pixels)


@pytest.mark.parametrize("inside", ["lossless", "baseline"])
def test_a_frame_of_another_process_than_a_dicom_file_tells_is_still_read(make_dicom, inside):
    """Some writers give the wrong transfer syntax, so the frame header decides."""
    codec = {"lossless": "baseline", "baseline": "lossless"}[inside]
    data = make_dicom(GREY, codec)
    baseline = imagecodecs.jpeg8_encode(GREY, 100)
    lossless = imagecodecs.jpeg8_encode(GREY, lossless=True, bitspersample=8)
    old, new = (baseline, lossless) if inside == "lossless" else (lossless, baseline)
    assert old in data
    padded = new + bytes(len(new) % 2)
    at = data.index(old)
    item = data[: at - 4] + struct.pack("<I", len(padded)) + padded
    film = decode_any(item + data[at + len(old) + len(old) % 2 :], Preprocessing(32))
    expected = decode_any(encoded(Image.fromarray(GREY), "PNG"), Preprocessing(32))
    assert np.abs(film.pixels.astype(int) - expected.pixels).max() <= (inside == "baseline") * 2


FLOODS = {
    "empty APP1": lambda: segment(0xE1) * 500_000,
    "comments": lambda: segment(0xFE) * 500_000,
    "pieces of EXIF": lambda: segment(0xE1, b"Exif\0\0") * 200_000,
    "EXIF of 2 MB": lambda: segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 32,
    "quantisation tables": lambda: segment(0xDB, (b"\1" + b"\1" * 64) * 1000) * 16,
    "Photoshop blocks": lambda: (
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\0\0\0\0\0\0\0" * 5000) * 99
    ),
    "junk": lambda: segment(0xE0) + b"\0" * 2_000_000,
    "fill bytes": lambda: b"\xff" * 2_000_000,
    "stuffed bytes": lambda: b"\xff\0" * 1_000_000,
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("road", ["file", "DICOM"])
def test_a_flood_of_markers_is_refused_before_it_is_parsed(flood, road, make_dicom):
    data = behind_start(jpeg(), FLOODS[flood]())
    if road == "DICOM":
        whole = make_dicom(GREY, "baseline")
        at = whole.index(b"\xff\xd8\xff")
        data = whole[: at - 4] + struct.pack("<I", len(data)) + data + whole[-8:]
    kind = "JPEG" if road == "file" else "DICOM"
    with pytest.raises(
        FilmError, match=f"^({kind} of too (many segments|much metadata)|damaged {kind} header)$"
    ):
        decode_any(data, Preprocessing(32, reduced_decode=True))


def test_a_film_may_have_many_segments_and_a_little_junk():
    more = segment(0xE2, bytes(60_000)) * 100 + segment(0xFE, b"text") * (MAX_SEGMENTS - 150)
    data = behind_start(jpeg(), more + b"\0\0\xff\xff\xff\0\xff")
    expected = decode_any(jpeg(), Preprocessing(32))
    np.testing.assert_array_equal(decode_any(data, Preprocessing(32)).pixels, expected.pixels)


def multi_picture(*kinds):
    """A JPEG with an index of pictures of the given types."""
    films = [Image.fromarray(GREY).rotate(90 * n) for n in range(len(kinds))]
    data = bytearray(encoded(films[0], "MPO", save_all=True, append_images=films[1:]))
    entries = data.index(b"0100", data.index(b"MPF\0"))
    at = data.index(b"MPF\0") + 4
    (place,) = struct.unpack_from("<I", data, data.index(b"\x02\xb0\x07\0", at) + 8)
    assert entries < at + place
    for number, kind in enumerate(kinds):
        data[at + place + 16 * number + 2] = kind
    return bytes(data)


def test_a_jpeg_of_several_pictures_is_refused():
    settings = Preprocessing(32)
    pair = multi_picture(3, 0)
    for data in (pair, multi_picture(3, 2, 2), jpeg() + jpeg(), jpeg() + b"\0" + jpeg() + jpeg()):
        with pytest.raises(FilmError, match="^JPEG of several pictures: only single films$"):
            decode_any(data, settings)
        with pytest.raises(FilmError, match="several pictures"):
            decode_any_grey(data)


def test_what_cameras_store_beside_a_picture_does_not_make_it_several():
    settings = Preprocessing(32)
    data = encoded(Image.fromarray(GREY))
    expected = decode_any(data, settings).pixels
    thumbnail = encoded(Image.fromarray(GREY[:64, :64]))
    alone = encoded(Image.fromarray(GREY), "MPO", save_all=True)
    gain_map = segment(0xE1, b"http://ns.adobe.com/hdr-gain-map/1.0/")
    for film in (
        behind_start(data, segment(0xE1, b"Exif\0\0" + thumbnail)),
        behind_start(data, segment(0xE2, thumbnail + thumbnail)),
        data + b"trailing bytes of a video",
        alone,
        behind_start(multi_picture(3, 0), gain_map),
        multi_picture(3, 1),  # a large thumbnail
    ):
        np.testing.assert_array_equal(decode_any(film, settings).pixels, expected)


def test_an_index_that_cannot_be_read_is_left_aside():
    for index in (b"", b"II*\0", b"II*\0\0\0\0\0", b"MM\0*\0\0\0\x08\xff\xff", bytes(40)):
        film = decode_any(behind_start(jpeg(), segment(0xE2, b"MPF\0" + index)), Preprocessing(32))
        assert film.width == 448


@pytest.mark.parametrize("progressive", [False, True])
def test_the_header_has_the_sides_and_samples_that_pillow_wrote(progressive):
    written = io.BytesIO()
    Image.new("RGB", (40, 24)).save(written, "JPEG", progressive=progressive)
    header = read_header(written.getvalue())
    assert (header.width, header.height, header.components, header.precision) == (40, 24, 3, 8)
