"""Each generator of the fuzzer is deterministic and makes many kinds of input."""

import random
import zipfile

import pytest

from pneumojax.decoding.formats import kind_of
from tests.support.fuzz import archives, codestreams, dicom, jpeg, pictures, text_files

GENERATORS = [
    *jpeg.GENERATORS,
    *pictures.GENERATORS,
    *dicom.GENERATORS,
    *archives.GENERATORS,
    text_files.scored,
]


@pytest.fixture(autouse=True)
def small_bombs(monkeypatch):
    """Packs 3 MB instead of 300 MB into an archive, which takes seconds less."""
    monkeypatch.setattr(archives, "BOMB", 3_000_000)


@pytest.mark.parametrize("generate", dict.fromkeys(GENERATORS), ids=lambda g: g.__qualname__)
def test_a_generator_is_deterministic_and_makes_many_kinds_of_input(generate):
    first, again = ([generate(random.Random(i)) for i in range(40)] for _ in range(2))
    assert first == again
    assert len(set(first)) >= 6


@pytest.mark.parametrize("frame", [i for i in range(16) if i not in (4, 8, 12)])
def test_every_frame_type_of_jpeg_is_generated(frame):
    mark = bytes((0xFF, 0xC0 + frame))
    made = (jpeg.another_frame(random.Random(i)) for i in range(2000))
    assert any(mark in data for data in made)


def test_floods_are_generated_of_hundreds_of_thousands_of_markers():
    longest = max((jpeg.flood(random.Random(i)) for i in range(1000)), key=len)
    assert len(longest) > 1_900_000


def test_tile_parts_of_jpeg_2000_that_end_in_their_own_header_are_generated():
    made = (codestreams.jpeg2000(random.Random(i), (16, 16)) for i in range(200))
    assert any(b"\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x0c" in data for data in made)


def test_pictures_are_generated_of_every_kind():
    made = [g(random.Random(i)) for g in pictures.GENERATORS for i in range(20)]
    assert {kind_of(data[:144]) for data in made} >= {"PNG", "WebP", "TIFF"}


def test_archives_are_generated_that_unpack_to_much_more_than_they_say(tmp_path):
    ratios = []
    for i in range(30):
        path = tmp_path / str(i)
        path.write_bytes(archives.bomb(random.Random(i)))
        with zipfile.ZipFile(path) as archive:
            ratios.append((archive.infolist()[0].file_size, path.stat().st_size))
    assert any(said <= 1000 < size for said, size in ratios)
    assert all(size < 1_000_000 for _, size in ratios)
