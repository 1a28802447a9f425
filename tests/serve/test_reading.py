"""The reading of a film by a small network that was never trained."""

import dataclasses
import io

import jax
import numpy as np
import pytest
from PIL import Image

from pneumojax.decoding.film import decode_film
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.inference.forward import make_forward
from pneumojax.inference.predictor import Predictor
from pneumojax.isolation.films import FilmDecoder
from pneumojax.serve.markup import examples
from pneumojax.serve.reading import LARGEST_SIDE, make_reader


@pytest.fixture
def predictor(workdir):
    return Predictor.open([workdir])


@pytest.fixture(scope="module")
def decoder():
    with FilmDecoder(1) as decoder:
        yield decoder


@pytest.fixture
def reader(decoder):
    """`predictor -> (bytes -> Reading)`, built as in the server."""

    def make(predictor):
        preprocessing, assess = predictor.first.preprocessing, make_reader(predictor)
        return lambda data: assess(decoder.decode(data, preprocessing, preview_side=LARGEST_SIDE))

    return make


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_a_film_gets_the_calibrated_probability_and_call_of_its_run(predictor, reader):
    read, drawings, trained = reader(predictor), examples(), predictor.first
    step = jax.jit(make_forward(trained.network, trained.mesh))
    side = trained.meta["preprocessing"]["image_size"]
    for drawing in drawings:
        reading = read(drawing.data)
        pixels, width, height = decode_film(drawing.data, Preprocessing(image_size=side))
        logit = float(step(trained.params, pixels[None, ..., None])[0])
        # The gradient belongs to another compiled program, whose sums may have another order.
        assert reading.probability == pytest.approx(1 / (1 + np.exp(-logit / 2)), abs=1e-5)
        assert reading.film.size == (width, height) and reading.film.mode == "L"
        assert reading.evidence is None or reading.evidence.size == (width, height)
    low, middle, high = sorted(drawings, key=lambda drawing: read(drawing.data).probability)
    threshold = read(middle.data).probability
    decision = predictor.decision._replace(threshold=threshold)
    read = reader(dataclasses.replace(predictor, decision=decision))
    assert [read(each.data).positive for each in (low, middle, high)] == [False, True, True]


def test_a_network_without_maps_reads_films_without_a_picture_of_evidence(predictor, reader):
    member = predictor.first
    bare = dataclasses.replace(member, network=dataclasses.replace(member.network, explains=False))
    film = examples()[0].data
    reading = reader(dataclasses.replace(predictor, members=(bare,)))(film)
    assert reading.evidence is None
    expected = reader(predictor)(film).probability
    # The gradient is computed by another program, which may order sums differently.
    assert reading.probability == pytest.approx(expected, abs=1e-5)


def test_pictures_of_large_films_are_made_smaller_and_keep_their_shape(predictor, reader):
    reading = reader(predictor)(png(np.tile(np.arange(200, dtype=np.uint8), (600, 10))))
    assert reading.film.size == (LARGEST_SIDE, LARGEST_SIDE * 600 // 2000)


def test_a_dicom_film_is_read_and_a_strange_one_warned_of(predictor, make_dicom, reader):
    read = reader(predictor)
    rng = np.random.default_rng([1])
    grey = rng.integers(0, 4096, (40, 50), dtype=np.uint16)
    reading = read(make_dicom(grey, BitsStored=12))
    assert reading.film.size == (50, 40) and reading.warnings == []
    colour = read(png(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)))
    assert "colour" in colour.warnings[0] and "tiny" in colour.warnings[1]


def test_files_that_are_no_films_are_refused_with_the_reason(predictor, make_dicom, reader):
    read, whole = reader(predictor), examples()[0].data
    pixels = np.zeros((20, 20), np.uint8)
    bad = {
        b"": "empty",
        b"hello": "not a picture",
        whole[: len(whole) // 2]: "truncated",
        make_dicom(pixels, PixelData=None): "without pixels",
    }
    for data, reason in bad.items():
        with pytest.raises(FilmError, match=reason):
            read(data)
