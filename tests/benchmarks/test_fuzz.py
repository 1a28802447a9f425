"""The fuzzer: what it counts and keeps, and that nothing breaks in a few of its runs."""

import random

import pytest

from benchmarks import fuzz
from pneumojax.data.decoding import FilmError, Preprocessing
from pneumojax.data.formats import decode_any


@pytest.mark.parametrize("road", fuzz.ROADS)
def test_nothing_breaks_in_some_inputs_and_the_corpus_grows(road, tmp_path):
    record = fuzz.fuzz(road, 500, tmp_path, log=lambda line: None)
    assert record["executions"] == 500 and record["broken"] == []
    assert record["corpus"] == len(list((tmp_path / road / "corpus").iterdir())) > 3
    again = fuzz.fuzz(road, 500, tmp_path, log=lambda line: None)
    assert again == record  # and it goes on from there: nothing is run twice


def test_an_input_is_a_function_of_its_number_and_the_corpus():
    corpus = fuzz.pictures()
    first, again, other = (
        fuzz.changed(random.Random(seed), corpus)
        for seed in ("image 0 7", "image 0 7", "image 0 8")
    )
    assert first == again != other


class Progress:
    value = 0


@pytest.mark.parametrize("error", [KeyError("header"), MemoryError(), AssertionError()])
def test_any_exception_but_the_roads_own_is_kept_with_its_input(error, tmp_path, monkeypatch):
    def breaking(data, folder):
        if len(data) % 5 == 0:
            raise error
        return "read"

    monkeypatch.setitem(fuzz.ROADS, "image", (breaking, fuzz.pictures))
    for name in ("corpus", "broken"):
        (tmp_path / name).mkdir()
    fuzz.executed("image", 0, 0, 100, fuzz.pictures(), tmp_path, Progress())
    broken = list((tmp_path / "broken").iterdir())
    assert broken and all(len(path.read_bytes()) % 5 == 0 for path in broken)
    assert all(path.name.endswith(type(error).__name__) for path in broken)


def test_every_seed_of_the_picture_road_is_a_film_before_it_is_damaged():
    for data in fuzz.pictures() + fuzz.dicoms():
        try:
            assert decode_any(data, Preprocessing(16)).width in (24, 32)
        except FilmError as error:
            pytest.fail(f"{data[:8]!r}: {error}")


def test_checksums_are_mended_and_other_files_left_alone():
    png = next(data for data in fuzz.pictures() if data.startswith(b"\x89PNG"))
    broken = png[:-1] + bytes([png[-1] ^ 1])
    assert fuzz.mended(broken) == png == fuzz.mended(png)
    assert fuzz.mended(b"\xff\xd8\xff") == b"\xff\xd8\xff"
