"""The films that input is measured on: many, all different, of known patients."""

import hashlib

from PIL import Image

from benchmarks import streaming as stream
from pneumojax.data.films import find_films
from pneumojax.data.patients import identify
from tools.docs.streaming import draw


def test_no_two_files_are_the_same_and_no_patient_has_more_than_four(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "DRAWN", 6)
    stream.write_films(tmp_path / "films", 60)
    files = find_films(tmp_path / "films").files
    contents = [(tmp_path / "films" / file.path).read_bytes() for file in files]
    assert len({hashlib.sha256(data).digest() for data in contents}) == 60
    who = [identify(file.path, file.label) for file in files]
    assert all(identity.known for identity in who) and sum(file.label for file in files) == 40
    patients = [identity.patient for identity in who]
    assert {patients.count(patient) for patient in patients} == {4}
    with Image.open(tmp_path / "films" / files[0].path) as film:
        film.load()
    monkeypatch.setattr(stream.phantom, "draw_film", None)  # calling it would raise
    stream.write_films(tmp_path / "films", 60)


def test_what_was_measured_is_drawn(tmp_path):
    point = {
        "films_per_second": 900.0,
        "films_per_second_from_disk": 500.0,
        "reading": {"all_mb": 1000.0, "own_mb": 300.0},
    }
    draw({kind: {"2000": point, "20000": point} for kind in stream.KINDS}, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 1100 and len(picture.getcolors()) > 10
    assert (tmp_path / "a.png").stat().st_size < 30_000
