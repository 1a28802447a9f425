"""The films that streaming is measured on are all different and have known patients."""

import hashlib

from PIL import Image

from benchmarks import streaming as stream
from pneumojax.data.films import find_films
from pneumojax.data.patients import identify


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
