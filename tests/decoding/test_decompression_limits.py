"""Files that would take much memory or time are refused before they are decoded."""

import io
import threading

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from pneumojax.decoding import decompression_limits, tiff_directories
from pneumojax.decoding.film import decode_film
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_any
from pneumojax.decoding.jpeg2000 import codestream_fault
from pneumojax.decoding.preprocessing import Preprocessing
from tests.support import bombs

SLOW = ("256 million", "deflated, ", "20,000 pictures", "5,000 scans", "1 GB of text")


def answered_at_once(names):
    rows = bombs.measured({name: bombs.BOMBS[name] for name in names}, together=True)
    wrong = [r for r in rows if not r["as_it_should"] or r["grew_by_mb"] > 150 or r["seconds"] > 20]
    assert not wrong
    return {row["file"].split(":")[0] for row in rows}


@pytest.mark.slow
def test_bombs_of_every_kind_are_answered_at_once_and_take_no_memory():
    films = [
        name for name in bombs.BOMBS if not name.startswith(".")
    ]  # names with a leading dot are files of weights
    quick = [name for name in films if not any(words in name for words in SLOW)]
    assert answered_at_once(quick) == {"PNG", "JPEG", "TIFF", "WebP", "DICOM"}


@pytest.mark.slow
def test_bombs_that_take_a_while_to_make_are_answered_at_once_too():
    answered_at_once([name for name in bombs.BOMBS if any(words in name for words in SLOW)])


def exif_of(order, entries, values):
    """EXIF as a camera writes it, in which each value has its own position."""
    exif = Image.Exif()
    exif.endian = order
    for tag in range(entries):
        exif[0x9C9B + tag] = bytes(values)
    exif[0x0112] = 6
    return exif.tobytes()


@pytest.mark.parametrize("order", "<>")
def test_exif_whose_values_have_their_own_places_is_read(order):
    exif = exif_of(order, 5, 3000)
    assert not tiff_directories.are_too_costly(exif.removeprefix(b"Exif\0\0"))
    film = Image.new("L", (40, 20))
    for kind, options in (("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        stream = io.BytesIO()
        film.save(stream, kind, exif=exif, **options)
        read = decode_any(stream.getvalue(), Preprocessing(16))
        assert (read.width, read.height) == (20, 40)  # turned by a quarter


@pytest.mark.parametrize(
    "scans, refused", [(200, False), (decompression_limits.MAX_SCANS + 1, True)]
)
def test_a_jpeg_may_have_many_scans_but_not_any_number(scans, refused):
    data = bombs.jpeg_scans(64, scans)
    if refused:
        with pytest.raises(FilmError, match="too many scans"):
            decode_film(data, Preprocessing(16))
    else:
        assert decode_film(data, Preprocessing(16))[1:] == (64, 64)


@pytest.mark.parametrize("resolutions", [1, 3, 6])
def test_jpeg_2000_as_encoders_write_it_has_no_fault(resolutions):
    film = np.arange(200 * 150, dtype=np.uint16).reshape(200, 150)
    frame = imagecodecs.jpeg2k_encode(film, codecformat="j2k", resolutions=resolutions)
    assert codestream_fault(frame, 150, 200, 1) == ""
    assert codestream_fault(frame, 150, 201, 1) == "of another size"
    assert codestream_fault(frame, 150, 200, 3) == "of another size"
    assert codestream_fault(frame[:60], 150, 200, 1) == "damaged"
    assert codestream_fault(b"", 150, 200, 1) == "damaged"


def test_coding_styles_of_a_component_and_of_a_tile_count_too():
    small = bombs.codestream(4000)
    assert codestream_fault(small, 4000, 4000, 1) == ""
    own = b"\xff\x53\x00\x0f\x00\x01\x05\x04\x04\x00\x01" + b"\x11" * 6
    for mark in (b"\xff\x90", b"\xff\x93"):  # in the main header and in the tile's header
        at = small.index(mark)
        frame = small[:at] + own + small[at:]
        assert codestream_fault(frame, 4000, 4000, 1) == "of too many parts", mark


def test_large_films_are_decoded_one_at_a_time_and_small_ones_are_not_held_up():
    begun, release, order = threading.Event(), threading.Event(), []

    def first():
        with decompression_limits.in_turn(10_000, 10_000):
            begun.set()
            release.wait(10)
            order.append("first")

    def second():
        with decompression_limits.in_turn(10_000, 9_000):
            order.append("second")

    one = threading.Thread(target=first)
    one.start()
    assert begun.wait(10)
    two = threading.Thread(target=second)
    two.start()
    with decompression_limits.in_turn(4000, 4000):
        order.append("small")
    release.set()
    one.join(10)
    two.join(10)
    assert order == ["small", "first", "second"]
