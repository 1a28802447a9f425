"""Child processes decode films to the same pixels, and a crash costs only its own film."""

import csv
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from pneumojax.data import cache_build
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.decoding.film import decode_film
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_any, decode_any_grey
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.isolation import Limits
from pneumojax.isolation.films import FilmDecoder
from pneumojax.shipped import reference_run
from tests.support import bombs

REFERENCE = reference_run()
SMALL = Preprocessing(32, reduced_decode=True)


def picture(kind, seed=0, size=(90, 70)):
    stream = io.BytesIO()
    pixels = np.random.default_rng([seed]).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="module")
def decoder():
    with FilmDecoder(2) as started:
        yield started


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_film_has_the_same_pixels_and_facts_as_in_this_process(decoder, kind):
    data = picture(kind)
    there, here = decoder.decode(data, SMALL).film, decode_any(data, SMALL)
    np.testing.assert_array_equal(there.pixels, here.pixels)
    assert there[1:] == here[1:]


def test_a_preview_is_the_upright_film_at_the_size_asked_for(decoder):
    data = picture("PNG")
    expected = decode_any_grey(data)
    expected.thumbnail((40, 40))
    preview = decoder.decode(data, SMALL, preview_side=40).preview
    np.testing.assert_array_equal(preview, np.asarray(expected))
    assert decoder.decode(data, SMALL).preview is None


def test_a_refusal_is_worded_as_in_this_process(decoder):
    with pytest.raises(FilmError) as here:
        decode_any(b"hello", SMALL)
    with pytest.raises(FilmError) as there:
        decoder.decode(b"hello", SMALL)
    assert str(there.value) == str(here.value)


def test_training_films_come_back_in_order_with_the_refused_ones_in_their_places(decoder):
    files = [picture("JPEG", 1), b"hello", picture("PNG", 2), picture("TIFF", 3)]
    first, second, third, fourth = decoder.decode_for_training(files, SMALL)
    assert isinstance(second, FilmError) and isinstance(fourth, FilmError)  # training reads no TIFF
    for found, data in ((first, files[0]), (third, files[2])):
        pixels, width, height = decode_film(data, SMALL)
        np.testing.assert_array_equal(found[0], pixels)
        assert found[1:] == (width, height, {})


def test_a_crash_refuses_its_own_training_film_alone(crashing_decoders):
    files = [picture("JPEG", i) for i in range(5)]
    files[2] += crashing_decoders
    with FilmDecoder(2) as decoder:
        found = decoder.decode_for_training(files, SMALL)
    assert [isinstance(film, FilmError) for film in found] == [False, False, True, False, False]
    assert "crashed" in str(found[2]) and "made to do harm" in str(found[2])


def test_a_training_set_with_a_film_that_crashes_its_decoder_lacks_that_film_alone(
    crashing_decoders, films_root, tmp_path
):
    root = shutil.copytree(films_root, tmp_path / "films")
    bad = sorted((root / "train" / "NORMAL").iterdir())[3]
    bad.write_bytes(bad.read_bytes() + crashing_decoders)
    films, whole = (
        load_split(
            find_films(folder),
            "train",
            SMALL,
            FilmCache(tmp_path / name),
            max_rejected_fraction=0.1,
        )
        for folder, name in ((root, "cache"), (films_root, "whole"))
    )
    ((path, reason),) = films.rejected
    assert path == bad.relative_to(root).as_posix() and "crashed" in reason
    assert list(films.paths) == [name for name in whole.paths if name != path]
    kept = np.array([name != path for name in whole.paths])
    every = np.arange(len(whole))
    np.testing.assert_array_equal(films.pixels(every[:-1]), whole.pixels(every[kept]))


def test_a_film_that_ran_into_the_clock_ends_the_build_and_is_not_stored_as_rejected(
    crashing_decoders, tmp_path, monkeypatch
):
    (tmp_path / "train" / "NORMAL").mkdir(parents=True)
    (tmp_path / "train" / "NORMAL" / "a.png").write_bytes(picture("PNG") + b"SLEEP")
    folder, cache = find_films(tmp_path), FilmCache(tmp_path / "cache", log=lambda line: None)
    impatient = Limits(wall=0.5)
    monkeypatch.setattr(cache_build, "FilmDecoder", lambda: FilmDecoder(1, impatient))
    with pytest.raises(UserError, match=r"a\.png' could not be decoded twice .*too busy"):
        load_split(folder, "train", SMALL, cache, max_rejected_fraction=1.0)
    assert not list((tmp_path / "cache" / "films").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", bombs.LARGEST)
def test_the_largest_films_that_are_accepted_are_read_within_the_limits(decoder, name):
    make, answer = bombs.LARGEST[name]
    film = decoder.decode(make(), Preprocessing(150, reduced_decode=True)).film
    assert answer == "read" and film.pixels.shape == (150, 150)


@pytest.mark.slow
def test_a_prediction_answers_the_films_beside_one_that_crashes(crashing_decoders, tmp_path):
    from pneumojax.api.load import load

    folder = tmp_path / "films"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.png").write_bytes(picture("PNG", i, (200, 200)))
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes() + crashing_decoders)
    written = load(REFERENCE).predict_files(folder, tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="") as stream:
        rows = {row["file"][-5:]: row for row in csv.DictReader(stream)}
    assert written.unreadable == 1 and rows["1.png"]["probability"] == ""
    assert "crashed" in rows["1.png"]["note"]
    assert rows["0.png"]["probability"] and rows["2.png"]["probability"]
