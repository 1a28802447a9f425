"""Arrays, pictures and data sets: each is answered as the same film in a file, or refused."""

import io

import matplotlib.image
import numpy as np
import pydicom
import pydicom.data
import pytest
from PIL import Image

from pneumojax.api.inputs import films_of
from pneumojax.decoding.formats import decode_any
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError

SETTINGS = Preprocessing(32)
GREY = np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def decoded(films, value_range=None):
    """The pixels that the decoder makes of each film in memory."""
    return [decode_any(film.load(), SETTINGS) for film in films_of(films, value_range)]


def of_png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return decode_any(stream.getvalue(), SETTINGS)


def assert_alike(one, other):
    assert np.array_equal(one.pixels, other.pixels)
    assert one[1:] == other[1:]


@pytest.mark.parametrize(
    "array",
    [GREY, COLOUR, GREY.astype(np.uint16) * 257, GREY[::2, 1:], np.asfortranarray(GREY)],
    ids=["grey", "colour", "16 bits", "a view", "Fortran"],
)
def test_an_array_is_the_film_of_a_png_with_these_pixels(array):
    (film,) = decoded(array)
    assert_alike(film, of_png(array))


@pytest.mark.parametrize(
    ("stack", "count"),
    [
        (np.stack([GREY, GREY + 9, GREY * 3, GREY]), 4),
        (np.stack([GREY, GREY + 9])[..., None], 2),
        (np.stack([COLOUR, COLOUR[::-1]]), 2),
        (GREY[..., None], 1),
    ],
)
def test_the_first_axis_of_a_stack_counts_films(stack, count):
    films = decoded(stack)
    assert len(films) == count
    last = stack if count == 1 else stack[-1]
    assert_alike(films[-1], of_png(last[..., 0] if last.shape[-1] == 1 else last))


def test_colour_of_16_bits_keeps_its_high_bytes():
    (film,) = decoded((COLOUR.astype(np.uint16) * 256 + 200)[None])
    assert_alike(film, of_png(COLOUR))


@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (-1024, 1024), (0, 255)])
def test_floats_made_from_grey_levels_give_the_same_film(value_range):
    black, white = value_range
    for dtype in (np.float32, np.float64):
        floats = (GREY / 255 * (white - black) + black).astype(dtype)
        (film,) = decoded(floats, value_range)
        assert_alike(film, of_png(GREY))


def test_the_array_of_another_library_is_the_film_of_its_file(tmp_path, films_root):
    path = tmp_path / "film.png"
    Image.open(min((films_root / "test").rglob("*.jpeg"))).convert("L").save(path)
    floats = matplotlib.image.imread(path)
    assert floats.dtype == np.float32
    (film,) = decoded(floats, (0, 1))
    assert_alike(film, decode_any(path.read_bytes(), SETTINGS))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I"])
def test_a_picture_is_the_film_of_its_png(mode, tmp_path):
    picture = Image.fromarray(COLOUR).convert("L" if mode.startswith("I") else mode)
    if mode.startswith("I"):
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    path = tmp_path / "film.png"
    picture.save(path)
    if mode == "I":
        picture = Image.fromarray(np.asarray(picture).astype(np.int32))
        assert picture.mode == "I"
    (film,) = decoded(picture)
    assert_alike(film, decode_any(path.read_bytes(), SETTINGS))


def test_the_orientation_of_a_picture_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as picture:
        (film,) = decoded(picture)
    assert (film.width, film.height) == (40, 50)
    assert_alike(film, decode_any((tmp_path / "turned.png").read_bytes(), SETTINGS))


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "ExplVR_BigEnd.dcm"]
)
def test_a_data_set_is_the_film_of_its_file(name):
    path = pydicom.data.get_testdata_file(name, download=False)
    (film,) = decoded(pydicom.dcmread(path))
    with open(path, "rb") as stream:
        assert_alike(film, decode_any(stream.read(), SETTINGS))


def test_a_data_set_that_a_program_has_made_is_read(make_dicom):
    data = pydicom.dcmread(io.BytesIO(make_dicom(GREY)))
    del data.file_meta
    (film,) = decoded(data)
    assert_alike(film, of_png(GREY))


FLOATS = GREY.astype(np.float32)
REFUSED = {
    "an empty list": ([], None, "there is no film in what was passed"),
    "an empty stack": (np.zeros((0, 40, 50), np.uint8), None, r"uint8 \(0, 40, 50\): it holds no"),
    "one number": (np.float32(3), None, r"float32 \(\): pass \(h, w\)"),
    "one row": (GREY[0], None, r"uint8 \(50,\): pass"),
    "five axes": (GREY[None, None, None], None, r"\(1, 1, 1, 40, 50\): pass"),
    "floats of no range": (FLOATS, None, "float32 with values from 0 to 255: say which are black"),
    "floats to 255": (FLOATS, (0, 1), r"values from 0 to 255, outside value_range=\(0, 1\)"),
    "negative": (FLOATS / 255 - 0.5, (0, 1), r"from -0.5 to 0.5, outside value_range=\(0, 1\)"),
    "not a number": (np.where(GREY == 3, np.nan, FLOATS), (0, 255), "NaN or infinite"),
    "integers": (GREY.astype(np.int64), None, r"int64 \(40, 50\): pass uint8, uint16"),
    "a mask": (GREY > 9, None, "bool"),
    "bytes with a range": (GREY, (0, 1), "value_range is for floats"),
    "an empty range": (FLOATS, (1, 1), r"value_range is \(1, 1\)"),
    "channels first": (np.stack([GREY] * 2)[:, None], None, r"\(2, 1, 40, 50\): its channels come"),
    "colour first": (np.stack([COLOUR] * 2).transpose(0, 3, 1, 2), None, "its channels come first"),
    "one film's channels": (np.stack([GREY] * 3), None, "its three films are alike"),
    "alpha": (np.dstack([COLOUR, GREY]), None, r"leave alpha out by array\[..., :3\]"),
    "two channels": (np.stack([GREY] * 8).reshape(2, 40, 50, 4)[..., :2], None, "pass"),
    "tiny": (GREY[:9, :9], None, r"9 x 9 pixels: too small; a side has at least 16"),
    "a number": (3, None, "not int"),
    "a list of numbers": ([GREY, 3], None, r"films\[1\] is int"),
    "bytes of a file": (b"\xff\xd8\xff", None, "not bytes"),
    "nothing": (None, None, "not NoneType"),
    "a wrong item": ([GREY, GREY.astype(float)], None, r"films\[1\] is float64"),
    "a path that is not there": (["nope.png"], None, "'nope.png' does not exist"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_clearly_a_film_is_refused_with_what_was_found(name):
    films, value_range, said = REFUSED[name]
    with pytest.raises(UserError, match=said) as told:
        films_of(films, value_range)
    assert "\n" not in str(told.value) and "--" not in str(told.value)


def test_three_different_films_are_a_stack():
    assert len(decoded(np.stack([GREY, GREY.T.reshape(40, 50), 255 - GREY]))) == 3


def test_names_tell_where_a_film_was(films_root, tmp_path):
    path = str(min((films_root / "test").rglob("*.jpeg")))
    with Image.open(path) as picture:
        films = films_of(iter([path, GREY, np.stack([GREY, GREY]), picture]), None)
    assert [film.file for film in films] == [path, "films[1]", "films[2][0]", "films[2][1]", path]
    assert [film.file for film in films_of(np.array([path, path]), None)] == [path, path]
    assert [film.file for film in films_of(GREY, None)] == ["array"]
