"""DICOM films are compared with their own pixels and with pydicom's display; damage is refused."""

import io
import random

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from pneumojax.decoding import decompression_limits, dicom, dicom_file, pillow
from pneumojax.decoding.dicom import decode_dicom
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_any
from pneumojax.decoding.preprocessing import Preprocessing

ROWS, COLUMNS = np.mgrid[:40, :56]
GREY = ((ROWS * 5 + COLUMNS * 3) % 256).astype(np.uint8)
DEEP = ((ROWS * 90 + COLUMNS * 7) % 3900 + 100).astype(np.uint16)  # 12 bits, 100 to 3,999
LOSSLESS = ("lossless", "lossless, any predictor", "ls", "2000", "rle")
PLAIN = ("", "implicit", "big endian", "deflated")


def shown(data):
    return np.asarray(decode_dicom(data)[0])


def spread(values):
    """Grey levels from the darkest value to the brightest."""
    values = values.astype(float)
    return np.rint((values - values.min()) / np.ptp(values) * 255)


@pytest.mark.parametrize("codec", [*PLAIN, *LOSSLESS])
def test_eight_bits_are_shown_as_they_are_in_every_transfer_syntax(make_dicom, codec):
    np.testing.assert_array_equal(shown(make_dicom(GREY, codec)), GREY)


@pytest.mark.parametrize("codec", [*PLAIN, *LOSSLESS])
def test_twelve_bits_and_signed_ones_are_spread_in_every_transfer_syntax(make_dicom, codec):
    np.testing.assert_array_equal(shown(make_dicom(DEEP, codec, BitsStored=12)), spread(DEEP))
    if codec == "":
        signed = DEEP.astype(np.int16) - 2000
        for bits in (12, 16):
            data = make_dicom(signed, codec, BitsStored=bits)
            np.testing.assert_array_equal(shown(data), spread(DEEP))


def test_baseline_jpeg_is_near_its_pixels(make_dicom):
    smooth = (ROWS * 3 + COLUMNS).astype(np.uint8)
    near = shown(make_dicom(smooth, "baseline")).astype(int)
    assert np.abs(near - smooth).max() <= 2  # coefficients are rounded even at quality 100


def test_a_dicom_of_a_png_film_gives_the_same_pixels_as_the_png(make_dicom, films_root):
    film = next((films_root / "train" / "NORMAL").iterdir())
    grey = Image.open(film).convert("L")
    png = io.BytesIO()
    grey.save(png, "PNG")
    settings = Preprocessing(32)
    expected = decode_any(png.getvalue(), settings)
    for codec in ("", "2000", "lossless"):
        result = decode_any(make_dicom(np.asarray(grey), codec), settings)
        np.testing.assert_array_equal(result.pixels, expected.pixels)
        assert result[1:] == expected[1:] == (*grey.size, 0.0, False)


def test_monochrome1_is_inverted(make_dicom):
    inverted = shown(make_dicom(GREY, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(inverted, 255 - GREY)


def lut(first, values, bits):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", list(values))
    return item


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 2000, "WindowWidth": 1500},
        {"WindowCenter": [1000, 3000], "WindowWidth": [900, 200]},
        {"WindowCenter": 2000, "WindowWidth": 1500, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 2000, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 500, "WindowWidth": 800, "RescaleSlope": 0.5, "RescaleIntercept": -100},
        {"VOILUTSequence": [lut(0, range(0, 1024), 10)]},
        {
            "ModalityLUTSequence": [lut(0, range(4095, -1, -1), 16)],
            "WindowCenter": 2000,
            "WindowWidth": 2500,
        },
    ],
    ids=lambda elements: ",".join(elements),
)
def test_windows_and_luts_are_those_of_pydicom(make_dicom, elements):
    data = make_dicom(DEEP, BitsStored=12, **elements)
    dataset = pydicom.dcmread(io.BytesIO(data))
    values = apply_voi_lut(apply_modality_lut(DEEP, dataset), dataset).astype(float)
    every = np.arange(4096)
    possible = apply_voi_lut(apply_modality_lut(every, dataset), dataset).astype(float)
    expected = (values - possible.min()) / np.ptp(possible) * 255
    # A sigmoid never reaches the black and white that `possible` expects.
    slack = 3 if elements.get("VOILUTFunction") == "SIGMOID" else 0.5
    assert np.abs(shown(data) - expected).max() <= slack


def test_a_falling_rescale_inverts(make_dicom):
    data = make_dicom(GREY, RescaleSlope=-1, RescaleIntercept=255)
    np.testing.assert_array_equal(shown(data), 255 - GREY)


def test_padding_does_not_darken_the_film(make_dicom):
    padded = DEEP.copy()
    padded[:, :4] = 0
    whole = shown(make_dicom(padded, BitsStored=12, PixelPaddingValue=0))
    np.testing.assert_array_equal(whole[:, 4:], spread(DEEP[:, 4:]))


def test_bits_above_those_stored_count_for_nothing(make_dicom):
    data = make_dicom(DEEP | 0x8000, BitsStored=12)
    np.testing.assert_array_equal(shown(data), spread(DEEP))


@pytest.mark.parametrize("codec", ["", "implicit"])
def test_a_file_without_preamble_and_meta_is_read(make_dicom, codec):
    data = make_dicom(GREY, codec, meta=False)
    assert data[128:132] != b"DICM"
    np.testing.assert_array_equal(decode_any(data, Preprocessing(32, "nearest"))[1:3], (56, 40))
    np.testing.assert_array_equal(shown(data), GREY)


@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL"])
def test_colour_is_kept_for_the_warning_and_becomes_grey(make_dicom, kind):
    rgb = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)
    stored = np.asarray(Image.fromarray(rgb).convert("YCbCr")) if kind != "RGB" else rgb
    data = make_dicom(stored, PhotometricInterpretation=kind)
    picture, _ = decode_dicom(data)
    assert picture.mode == "RGB"
    assert np.abs(np.asarray(picture).astype(int) - rgb).max() <= 3  # YCbCr in 8 bits is rounded
    assert decode_any(data, Preprocessing(32)).colour > 50


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PixelData": None}, "DICOM without pixels"),
        ({"NumberOfFrames": 3}, "DICOM of 3 frames: only single films"),
        ({"Rows": 20_000, "Columns": 20_000}, "20000 x 20000 pixels: too large"),
        ({"Rows": 4}, "56 x 4 pixels: too small"),
        ({"BitsAllocated": 32}, "DICOM of 8 bits in 32: only 8 to 16 bits"),
        ({"HighBit": 15, "BitsStored": 8}, "high bit other than the highest stored bit"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "neither of grey levels nor of 8-bit RGB"),
        ({"Rows": None}, "damaged DICOM"),
        ({"WindowCenter": 9, "WindowWidth": 0}, "damaged DICOM"),
    ],
)
def test_refusals_say_why(make_dicom, elements, message):
    with pytest.raises(FilmError, match=message):
        decode_dicom(make_dicom(GREY, **elements))


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"WindowCenter": "nan", "WindowWidth": 9}, "window or rescaling that is not a number"),
        ({"WindowCenter": 9, "WindowWidth": "nan"}, "window or rescaling that is not a number"),
        ({"WindowCenter": "inf", "WindowWidth": 9}, "window of a single grey level"),
        ({"WindowCenter": 9, "WindowWidth": "1e300"}, "window of a single grey level"),
        (
            {"RescaleSlope": "nan", "RescaleIntercept": 0},
            "window or rescaling that is not a number",
        ),
        ({"RescaleSlope": "1e308", "RescaleIntercept": "1e308"}, "is not a number"),
        ({"VOILUTSequence": [lut(0, range(256), 1000)]}, "damaged table of grey levels"),
        ({"PixelData": b"\0" * 10}, "damaged DICOM"),
    ],
)
def test_grey_levels_that_are_no_numbers_do_not_make_a_black_film(make_dicom, elements, message):
    with pillow.no_warnings():  # pydicom warns when it writes them
        data = make_dicom(GREY, **elements)
    with pytest.raises(FilmError, match=message):
        decode_dicom(data)


@pytest.mark.parametrize("codec", ["baseline", "lossless", "ls", "2000"])
def test_a_codestream_that_is_cut_or_of_another_size_is_refused(make_dicom, codec):
    data = make_dicom(GREY, codec)
    end = data.rindex(b"\xff\xd9")
    with pytest.raises(FilmError, match="truncated DICOM"):
        decode_dicom(data[:end] + b"\0\0" + data[end + 2 :])
    with pytest.raises(FilmError, match="do not match its header|of another size"):
        decode_dicom(make_dicom(GREY, codec, Rows=41))


def test_a_deflated_file_is_not_inflated_without_end(make_dicom, monkeypatch):
    data = make_dicom(np.zeros((3_000, 2_000), np.uint16), "deflated")
    assert len(data) < 50_000
    decode_dicom(data)
    monkeypatch.setattr(dicom_file, "MAX_PIXELS", 1_000_000)
    with pytest.raises(FilmError, match="deflated DICOM: too large"):
        decode_dicom(data)


def test_size_is_checked_before_pixels_are_decoded(make_dicom, monkeypatch):
    monkeypatch.setattr(decompression_limits, "MAX_PIXELS", 2_000)
    monkeypatch.setattr(dicom, "stored_pixels", None)
    with pytest.raises(FilmError, match="56 x 40 pixels: too large"):
        decode_dicom(make_dicom(GREY, "2000"))


@pytest.mark.parametrize("codec", ["", "deflated", "baseline", "lossless", "2000", "rle"])
def test_damage_gives_a_reason_that_never_names_the_patient(make_dicom, codec):
    data = make_dicom(DEEP if codec == "lossless" else GREY, codec)
    chance = random.Random(codec)
    for _ in range(60):
        damaged = bytearray(
            data[: chance.randrange(200, len(data))] if chance.random() < 0.3 else data
        )
        for _ in range(chance.randrange(1, 8)):
            damaged[chance.randrange(132, len(damaged))] = chance.randrange(256)
        try:
            decode_dicom(bytes(damaged))
        except FilmError as error:
            assert error.__cause__ is None or not isinstance(error.__cause__, UnicodeError)
            for secret in ("Secret", "Name", "77", "2020"):
                assert secret not in str(error)


def test_no_tag_about_the_patient_is_read(make_dicom):
    read = dicom_file.read_elements(make_dicom(GREY))
    assert "PixelData" in read
    assert not [
        element for element in read if element.tag.group != 0x0028 and element.tag.group != 0x7FE0
    ]


@pytest.mark.parametrize("element", [b"\0\1US", b"\1\1US", b"\x10\0US", b"\x11\0US", b"\2\1US"])
def test_a_text_in_place_of_a_number_is_not_quoted(make_dicom, element):
    data = make_dicom(GREY)
    at = data.index(b"\x28\0" + element)  # group 0028: bits, rows, columns, high bit
    with pytest.raises(FilmError) as caught:
        decode_dicom(data[: at + 4] + b"SH\x02\0ZQ" + data[at + 10 :])
    assert "ZQ" not in str(caught.value)
