"""Facts in DICOM headers: only those asked for are read, and damage to a text costs no film."""

import numpy as np
import pytest

from pneumojax.decoding.dicom import decode_dicom
from pneumojax.decoding.dicom_header import COLUMNS, metadata
from pneumojax.decoding.formats import decode_any, decode_training_film
from pneumojax.decoding.preprocessing import Preprocessing

GREY = ((np.mgrid[:40, :56][0] * 5 + np.mgrid[:40, :56][1] * 3) % 256).astype(np.uint8)
SETTINGS = Preprocessing(32, reduced_decode=True)
CODECS = ("", "implicit", "big endian", "deflated", "lossless", "rle")


@pytest.mark.parametrize("codec", CODECS)
def test_only_the_texts_that_are_asked_for_are_read_beside_the_view(make_dicom, codec):
    texts = {"PatientAge": "045Y", "PatientSex": "F", "ViewPosition": "LL"}
    data = make_dicom(GREY, codec, **texts)
    assert decode_dicom(data)[1] == {"ViewPosition": "LL"}
    header = decode_dicom(data, COLUMNS)[1]
    assert header == {"PatientID": "ID-77", **texts}
    assert metadata(header) == {"patient": "ID-77", "age": "45", "sex": "F", "view": "LL"}


@pytest.mark.parametrize("codec", CODECS)
def test_a_dicom_film_has_the_same_pixels_in_training_and_in_prediction(make_dicom, codec):
    deep = np.arange(40 * 56, dtype=np.uint16).reshape(40, 56)
    for data in (
        make_dicom(GREY, codec, PhotometricInterpretation="MONOCHROME1"),
        make_dicom(deep, codec, BitsStored=12),
        make_dicom(np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)),
    ):
        trained, predicted = decode_training_film(data, SETTINGS), decode_any(data, SETTINGS)
        np.testing.assert_array_equal(trained.pixels, predicted.pixels)
        assert trained[1:3] == predicted[1:3] == (56, 40)


@pytest.mark.parametrize(
    "view, lateral", [("LL", True), ("RL", True), ("LATERAL", True), ("PA", False), (None, False)]
)
def test_lateral_views_are_recognised_by_their_code(make_dicom, view, lateral):
    assert decode_any(make_dicom(GREY, ViewPosition=view), SETTINGS).lateral is lateral


def test_a_film_with_damaged_texts_is_still_a_film(make_dicom):
    data = make_dicom(GREY, PatientAge="045Y", ViewPosition="AP")
    expected = decode_any(data, SETTINGS)
    for old, new in (
        (b"CS\x02\0AP", b"US\x02\0AP"),  # a number in place of the view
        (b"CS\x02\0AP", b"ZZ\x02\0\xff\xfe"),
        (b"AS\x04\x00045Y", b"AS\x04\0\xff\0\xff\0"),
    ):
        assert data.count(old) == 1
        damaged = data.replace(old, new)
        film = decode_training_film(damaged, SETTINGS, COLUMNS)
        np.testing.assert_array_equal(film.pixels, expected.pixels)


def test_texts_longer_than_any_real_one_are_left_out(make_dicom):
    header = decode_dicom(make_dicom(GREY, ViewPosition=["AP"] * 1000), COLUMNS)[1]
    assert header["ViewPosition"] == ""


@pytest.mark.parametrize(
    "text, years",
    [
        ("045Y", "45"),
        ("006M", "0.5"),
        ("010W", "0.1916"),
        ("003D", "0.008214"),
        ("101Y", "101"),
        ("45", ""),
        ("SMITH", ""),
        ("", ""),
    ],
)
def test_ages_are_in_years(text, years):
    assert metadata({"PatientAge": text}) == {"age": years}


def test_texts_that_are_no_known_code_are_dropped():
    header = {"PatientSex": "SMITH^JOHN", "ViewPosition": "of Mr Smith"}
    assert metadata(header) == {"sex": "", "view": ""}
