"""The fuzzer's generators: each makes the same input again, of few that are alike."""

import random
import zipfile

import pytest

from pneumojax.decoding.formats import kind_of
from tests.support.fuzz import archives as fuzz_archives
from tests.support.fuzz import codestreams as fuzz_codestreams
from tests.support.fuzz import dicom as fuzz_dicom
from tests.support.fuzz import jpeg as fuzz_jpeg
from tests.support.fuzz import pictures as fuzz_pictures
from tests.support.fuzz import roads as fuzz_roads

GENERATORS = [
    *fuzz_jpeg.GENERATORS,
    *fuzz_pictures.GENERATORS,
    *fuzz_dicom.GENERATORS,
    *fuzz_archives.GENERATORS,
    fuzz_roads.scored,
]


@pytest.mark.parametrize("generate", dict.fromkeys(GENERATORS), ids=lambda g: g.__qualname__)
def test_a_generator_is_deterministic_and_makes_many_kinds_of_input(generate):
    first, again = ([generate(random.Random(i)) for i in range(40)] for _ in range(2))
    assert first == again
    assert len(set(first)) >= 6


@pytest.mark.parametrize("frame", [i for i in range(16) if i not in (4, 8, 12)])
def test_every_frame_type_of_jpeg_is_generated(frame):
    mark = bytes((0xFF, 0xC0 + frame))
    made = (fuzz_jpeg.another_frame(random.Random(i)) for i in range(2000))
    assert any(mark in data for data in made)


def test_floods_are_generated_of_hundreds_of_thousands_of_markers():
    longest = max((fuzz_jpeg.flood(random.Random(i)) for i in range(1000)), key=len)
    assert len(longest) > 1_900_000


def test_tile_parts_of_jpeg_2000_that_end_in_their_own_header_are_generated():
    made = (fuzz_codestreams.jpeg2000(random.Random(i), (16, 16)) for i in range(200))
    assert any(b"\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x0c" in data for data in made)


def test_pictures_are_generated_of_every_kind():
    made = [g(random.Random(i)) for g in fuzz_pictures.GENERATORS for i in range(20)]
    assert {kind_of(data[:144]) for data in made} >= {"PNG", "WebP", "TIFF"}


def test_archives_are_generated_that_unpack_to_much_more_than_they_say(tmp_path):
    ratios = []
    for i in range(30):
        path = tmp_path / str(i)
        path.write_bytes(fuzz_archives.bomb(random.Random(i)))
        with zipfile.ZipFile(path) as archive:
            ratios.append((archive.infolist()[0].file_size, path.stat().st_size))
    assert any(said <= 1000 < size for said, size in ratios)
    assert all(size < 1_000_000 for _, size in ratios)
