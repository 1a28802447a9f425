"""PNG, WebP and TIFF files with many parts or with several pictures."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, WebPImagePlugin

from pneumojax.decoding import chunks, decompression_limits, tiff_directories
from pneumojax.decoding.chunks import png_fault, webp_fault, webp_size
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_any, decode_any_grey
from pneumojax.decoding.preprocessing import Preprocessing
from tests.support.bomb_files import chunk, png, shared_exif, small_png, tiff, zeros

GREY = np.add.outer(np.arange(64) * 3, np.arange(64)).astype(np.uint8)
FILM = Image.fromarray(GREY)
SAME = Preprocessing(64)


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_a_png_of_several_pictures_is_refused():
    turned = FILM.rotate(90)
    animated = encoded(FILM, "PNG", save_all=True, append_images=[turned])
    # A still picture, and an animation that consists of one other picture.
    beside = encoded(FILM, "PNG", save_all=True, default_image=True, append_images=[turned])
    for data in (animated, beside, encoded(FILM, "PNG") + encoded(turned, "PNG")):
        for read in (lambda data: decode_any(data, SAME), decode_any_grey):
            with pytest.raises(FilmError, match="^PNG of several pictures: only single films$"):
                read(data)


def test_an_animation_of_one_picture_is_a_film():
    data = encoded(FILM, "PNG")
    start = data.index(b"IDAT") - 4
    control = chunk(b"acTL", struct.pack(">II", 1, 0))
    control += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 64, 64, 0, 0, 1, 1, 0, 0))
    film = decode_any(data[:start] + control + data[start:], SAME)
    np.testing.assert_array_equal(film.pixels, GREY)


PIXELS = zeros(65 * 64)
FLOODS = {
    "private chunks": lambda: small_png(chunk(b"prVt", b"") * 200_000),
    "empty EXIF": lambda: small_png(chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0") * 200_000),
    "colour profiles": lambda: small_png(chunk(b"iCCP", b"a\0\0" + zeros(1 << 20)) * 200),
    "empty pixels": lambda: small_png(chunk(b"IDAT", b"") * 200_000),
    "chunks behind the pixels": lambda: (
        png(64, 64, 0, PIXELS)[:-12] + chunk(b"prVt", b"") * 200_000 + chunk(b"IEND", b"")
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_png_of_too_many_chunks_is_refused(flood):
    data = FLOODS[flood]()
    began = time.process_time()
    with pytest.raises(FilmError, match="^PNG of too many chunks$"):
        decode_any(data, SAME)
    assert time.process_time() - began < 2


def test_a_png_may_have_its_pixels_in_many_chunks_and_some_texts():
    data = encoded(FILM, "PNG")
    start = data.index(b"IDAT")
    (length,) = struct.unpack_from(">I", data, start - 4)
    pixels = data[start + 4 : start + 4 + length]
    pieces = b"".join(chunk(b"IDAT", pixels[i : i + 1]) for i in range(length))
    texts = chunk(b"tEXt", b"a\0b") * (chunks.MAX_CHUNKS - 20)
    whole = data[: start - 4] + texts + pieces + chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode_any(whole, SAME).pixels, GREY)


def test_a_cut_png_has_no_fault_but_that_it_is_cut():
    data = encoded(FILM, "PNG")
    for end in range(8, len(data), 7):
        assert png_fault(data[:end]) == ""


def test_a_webp_of_too_many_chunks_is_refused():
    data = encoded(FILM, "WEBP", lossless=True)
    flooded = data + b"prVt\0\0\0\0" * 200_000
    flooded = flooded[:4] + struct.pack("<I", len(flooded) - 8) + flooded[8:]
    with pytest.raises(FilmError, match="^WebP of too many chunks$"):
        decode_any(flooded, SAME)
    assert webp_fault(data) == webp_fault(data[:20]) == ""


def directory(entries, order="<", big=False):
    """Makes a directory of entries (tag, type, count, value)."""
    count, number = ("Q", "Q") if big else ("H", "I")
    body = b"".join(struct.pack(f"{order}HH{number}{number}", *entry) for entry in entries)
    return struct.pack(order + count, len(entries)) + body + bytes(8 if big else 4)


def of_directory(first, order="<", big=False):
    mark = b"II" if order == "<" else b"MM"
    if big:
        return mark + struct.pack(order + "HHHQ", 43, 8, 0, 16) + first
    return mark + struct.pack(order + "HI", 42, 8) + first


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_a_directory_of_too_many_entries_is_not_read(order, big):
    one = (256, 3, 1, 1)
    few = of_directory(directory([one] * 200, order, big), order, big)
    many = of_directory(
        directory([one] * (decompression_limits.MAX_ENTRIES + 1), order, big), order, big
    )
    assert not tiff_directories.are_too_costly(few)
    assert tiff_directories.are_too_costly(many)
    with pytest.raises(FilmError, match="^damaged TIFF header$"):
        decode_any(many, SAME)


@pytest.mark.parametrize("pointer", [34665, 34853, 40965])
def test_a_directory_of_exif_in_a_tiff_counts_too(pointer):
    """Pillow reads this directory when it turns a TIFF upright."""
    film = encoded(FILM, "TIFF")
    (place,) = struct.unpack_from("<I", film, 4)
    (count,) = struct.unpack_from("<H", film, place)
    entries = [
        struct.unpack_from("<HHII", film, place + 2 + 12 * number) for number in range(count)
    ]
    moved = len(film)
    for missing in range(3):  # the pointer alone, and after pointers that lead nowhere
        others = [(pointer, 4, 1, 1 << 30)] * missing
        size = 2 + 12 * (count + 1 + missing) + 4
        pointers = [*others, (pointer, 4, 1, moved + size)]
        first = directory(sorted([*entries, *pointers], key=lambda entry: entry[0]))
        bomb = _shifted(shared_exif(4000, 1_000_000)[8:], moved + size - 8)
        data = film[:4] + struct.pack("<I", moved) + film[8:] + first + bomb
        began = time.process_time()
        with pytest.raises(FilmError, match="^damaged TIFF header$"):
            decode_any(data, SAME)
        assert time.process_time() - began < 1


def _shifted(exif, by):
    """The entries of a directory, with the positions of their values shifted."""
    (count,) = struct.unpack_from("<H", exif)
    entries = [struct.unpack_from("<HHII", exif, 2 + 12 * number) for number in range(count)]
    body = b"".join(struct.pack("<HHII", *entry[:3], entry[3] + by) for entry in entries)
    return exif[:2] + body + exif[2 + len(body) :]


def test_pointers_of_unusual_types_and_in_circles_are_not_followed_for_ever():
    circle = of_directory(directory([(34665, 4, 1, 8)]))
    assert tiff_directories.are_too_costly(circle)
    assert not tiff_directories.are_too_costly(circle, nested=False)
    for kind, count in ((3, 1), (16, 1), (4, 2)):
        assert tiff_directories.are_too_costly(of_directory(directory([(34665, kind, count, 8)])))


def test_a_tiff_with_exif_of_a_camera_is_read():
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(34665)[0x9286] = b"a comment of some length"
    exif.get_ifd(34853)[1] = "N"
    film = decode_any(encoded(FILM, "TIFF", exif=exif), SAME)
    np.testing.assert_array_equal(film.pixels, GREY)


@pytest.mark.parametrize("tiled", [False, True])
def test_a_tiff_of_more_parts_than_any_film_has_is_refused(tiled):
    """Each tile has its own position, which costs Pillow 5 us."""
    count = decompression_limits.MOST_NUMBERS + 1
    numbers = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 277: 1}
    numbers |= {322: 16, 323: 16} if tiled else {278: 1}
    places, lengths = (324, 325) if tiled else (273, 279)
    body = 8 + 2 + 12 * (len(numbers) + 2) + 4
    entries = [(tag, 4, 1, value) for tag, value in numbers.items()]
    entries += [(places, 4, count, body), (lengths, 4, count, body + 4 * count)]
    first = directory(sorted(entries))
    data = of_directory(first) + struct.pack("<I", 8) * count + struct.pack("<I", 64) * count
    with pytest.raises(FilmError, match="^damaged TIFF header$"):
        decode_any(data, SAME)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"exif": b"Exif\0\0"}])
@pytest.mark.parametrize("size", [(16, 300), (1000, 17)])
def test_the_size_of_a_webp_is_known_before_anything_is_allocated(size, options):
    stream = io.BytesIO()
    Image.new("RGB", size, 90).save(stream, "WEBP", **options)
    data = stream.getvalue()
    assert webp_size(data) == size
    assert webp_size(data[:21]) is None


def test_a_webp_of_too_many_pixels_is_refused_before_pillow_opens_it(monkeypatch):
    def opened(self):
        raise AssertionError("opened, and so allocated")

    monkeypatch.setattr(WebPImagePlugin.WebPImageFile, "_open", opened)
    data = bytearray(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(10))
    data[24:30] = (16_382).to_bytes(3, "little") * 2
    with pytest.raises(FilmError, match="16383 x 16383 pixels: too large"):
        decode_any(bytes(data), Preprocessing(16))


def tiled_tiff(tile, side=64):
    """A grey TIFF of one uncompressed tile, whose upper left corner is the film."""
    values = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 277: 1, 322: tile, 323: tile}
    tags = {tag: (4, 1, value) for tag, value in values.items()}
    body = bytes(min(tile, 1024) ** 2)
    return tiff(tags | {324: (4, 1, -1), 325: (4, 1, len(body))}, body)


@pytest.mark.parametrize("tile", [64, 256, 1024])
def test_a_small_tiff_in_a_larger_tile_is_read(tile):
    assert decode_any(tiled_tiff(tile), SAME).width == 64


@pytest.mark.parametrize("tile", [1040, 32_768, 1 << 16, 1 << 31])
def test_a_tiff_whose_tiles_are_much_larger_than_its_film_is_refused(tile, monkeypatch):
    def loaded(self):
        raise AssertionError("unpacked, and so allocated")

    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", loaded)
    with pytest.raises(FilmError, match="tiles much larger than the film"):
        decode_any(tiled_tiff(tile), SAME)
