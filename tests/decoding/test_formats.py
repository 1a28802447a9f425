"""The formats that prediction reads beside those of training, told by contents."""

import io
import os
import threading

import numpy as np
import pytest
from PIL import Image

from pneumojax.decoding.film import decode_film, read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import HEAD, decode_any, decode_any_grey, kind_of
from pneumojax.decoding.preprocessing import Preprocessing

GREY = np.add.outer(np.arange(48) * 3, np.arange(48) * 2).astype(np.uint8)
FILM = Image.fromarray(GREY)
DEEP = Image.fromarray(GREY.astype(np.uint16) * 257)
SAME = Preprocessing(48)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        encoded(FILM, "PNG"),
        encoded(DEEP, "PNG"),
        encoded(FILM.convert("RGBA"), "PNG"),
        encoded(FILM, "WEBP", lossless=True),
        encoded(FILM, "TIFF"),
        encoded(FILM, "TIFF", compression="tiff_lzw"),
        encoded(DEEP, "TIFF"),
        encoded(Image.fromarray(65535 - np.asarray(DEEP)), "TIFF", tiffinfo={262: 0}),
        encoded(FILM.convert("RGB").convert("CMYK"), "TIFF"),
    ],
    ids=["png", "png16", "rgba", "webp", "tiff", "lzw", "tiff16", "white is zero", "cmyk"],
)
def test_lossless_films_keep_their_grey_levels(data):
    film = decode_any(data, SAME)
    np.testing.assert_array_equal(film.pixels, GREY)
    assert film[1:] == (48, 48, 0.0, False)
    np.testing.assert_array_equal(np.asarray(decode_any_grey(data)), GREY)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("reduced", [False, True])
def test_training_formats_are_read_as_in_training(mode, reduced):
    data = encoded(FILM.resize((480, 400)).convert(mode), "JPEG")
    settings = Preprocessing(32, reduced_decode=reduced)
    pixels, width, height = decode_film(data, settings)
    film = decode_any(data, settings)
    np.testing.assert_array_equal(film.pixels, pixels)
    assert film[1:3] == (width, height)
    assert film.colour < 2


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "JPEG"])
def test_a_turned_film_is_made_upright(kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    lying = FILM.crop((0, 0, 48, 24)).rotate(90, expand=True)
    film = decode_any(encoded(lying, kind, exif=exif, quality=100), Preprocessing(24, "nearest"))
    assert (film.width, film.height) == (48, 24)
    upright = np.asarray(FILM.crop((0, 0, 48, 24)).resize((24, 24), Image.Resampling.NEAREST))
    assert np.abs(film.pixels.astype(int) - upright).max() < 12  # all but TIFF are lossy


def test_colour_is_seen_and_grey_stored_as_colour_is_not():
    tinted = Image.merge("RGB", (FILM, FILM.point(lambda v: v // 2), FILM))
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        assert decode_any(encoded(tinted, kind), SAME).colour > 20
        assert decode_any(encoded(FILM.convert("RGB"), kind), SAME).colour < 2
    assert decode_any(encoded(tinted.quantize(), "PNG"), SAME).colour > 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"some text\n" * 40, "not a picture: only JPEG, PNG, WebP, TIFF and DICOM are read"),
        (encoded(FILM, "GIF"), "a GIF file: only JPEG"),
        (encoded(FILM, "BMP"), "a BMP file: only JPEG"),
        (encoded(FILM, "TIFF")[:1500], "truncated TIFF"),
        (encoded(FILM, "WEBP", lossless=True)[:30], "damaged WebP"),
        (encoded(FILM, "TIFF", save_all=True, append_images=[FILM]), "TIFF of several pictures"),
        (
            encoded(FILM, "WEBP", save_all=True, append_images=[FILM.rotate(90)]),
            "WebP of several pictures",
        ),
        (encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "floating-point"),
        (encoded(Image.new("L", (1, 1)), "TIFF"), "1 x 1 pixels: too small"),
        (encoded(Image.new("1", (20_000, 20_000)), "TIFF", compression="group4"), "too large"),
    ],
)
def test_refusals_say_why(data, message):
    with pytest.raises(FilmError, match=message):
        decode_any(data, SAME)


def test_kinds_are_told_by_the_first_bytes(make_dicom):
    assert kind_of(make_dicom(GREY)[:HEAD]) == "DICOM"
    assert kind_of(make_dicom(GREY, meta=False)[:HEAD]) == "DICOM"
    assert kind_of(encoded(FILM, "WEBP")[:HEAD]) == "WebP"
    for data in (b"", b"\x08", b"II*", b"RIFF1234WAVE", b"\x08\x00rubbish"):
        assert kind_of(data) is None


def test_what_is_no_readable_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    reasons = []
    for name in ("pipe.png", "loop.png", "absent.png"):
        with pytest.raises(FilmError) as caught:
            read_bytes(tmp_path / name)
        reasons.append(str(caught.value))
    assert reasons == [
        "not a file",
        "cannot be read: Too many levels of symbolic links",
        "cannot be read: No such file or directory",
    ]


def test_films_are_read_by_many_threads_at_once():
    exif = Image.Exif()
    exif[0x0112] = 3
    data = [encoded(FILM.convert("RGB"), kind, exif=exif) for kind in ("WEBP", "TIFF", "JPEG")]
    threads = [
        threading.Thread(target=lambda: [decode_any(d, SAME) for d in data * 5], daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
