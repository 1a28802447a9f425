"""Folders with DICOM films: the pixels, the facts that are kept, and the films left out."""

import json
import os
import shutil
import stat

import numpy as np
import pytest
from PIL import Image

from pneumojax.configs import base
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.cache_build import checksum
from pneumojax.data.dicom_metadata import METADATA, SALT
from pneumojax.data.films import find_films
from pneumojax.data.naming import FilmNaming
from pneumojax.data.splits import load_splits
from pneumojax.data.table_films import find_any_films
from pneumojax.decoding.formats import decode_any
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError

SMALL = Preprocessing(32, reduced_decode=True)
EVERYTHING = ("PatientID", "PatientAge", "PatientSex", "ViewPosition")
STREAMED, CACHED = 1e-9, 1.0


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, films_root, make_dicom):
    """Twelve DICOM films of six patients beside six PNG films, and two files that are no films."""
    root = tmp_path_factory.mktemp("mixed")
    codecs = ("", "implicit", "lossless", "2000", "rle", "deflated")
    for name in ("NORMAL", "PNEUMONIA"):
        folder = root / "train" / name
        folder.mkdir(parents=True)
        films = sorted((films_root / "train" / name).iterdir())[:9]
        for i, film in enumerate(films[:6]):
            grey = np.asarray(Image.open(film).convert("L"))
            elements = {
                "PatientID": f"ID {name} {i // 2}",
                "PatientAge": f"{20 + 30 * (i // 2):03d}Y",
                "PatientSex": "FM"[i // 2 % 2],
                "ViewPosition": "LL" if i == 5 else "AP" if name == "PNEUMONIA" else "PA",
            }
            data = make_dicom(grey, codecs[i], **elements)
            (folder / f"{i}.dcm").write_bytes(data)
        for film in films[6:]:
            Image.open(film).convert("L").save(folder / f"{film.stem}.png")
    (root / "train" / "NORMAL" / "frames.dcm").write_bytes(
        make_dicom(np.zeros((40, 40), np.uint8), NumberOfFrames=2)
    )
    (root / "train" / "NORMAL" / "cut.dcm").write_bytes(data[: len(data) // 2])
    return root


def load(root, cache_dir, wanted=(), log=lambda line: None, max_gb=CACHED, verify=False):
    folder = find_films(root, naming=FilmNaming(dicom_metadata=wanted))
    cache = FilmCache(cache_dir, max_gb, verify, log)
    return load_split(folder, "train", SMALL, cache, max_rejected_fraction=0.2)


@pytest.mark.parametrize("max_gb", [CACHED, STREAMED])
def test_films_have_the_pixels_that_prediction_gives_them(mixed, tmp_path, max_gb):
    films = load(mixed, tmp_path, max_gb=max_gb)
    assert len(films) == 18 and films.labels.sum() == 9
    for i, path in enumerate(films.paths):
        expected = decode_any((mixed / path).read_bytes(), SMALL)
        np.testing.assert_array_equal(films.pixels([i])[0], expected.pixels)
        assert tuple(films.sizes[i]) == (expected.width, expected.height)
    assert dict(films.rejected).keys() == {"train/NORMAL/cut.dcm", "train/NORMAL/frames.dcm"}
    assert dict(films.rejected)["train/NORMAL/frames.dcm"].startswith("DICOM of 2 frames")


def test_shards_hold_no_header_and_damage_to_a_picture_is_noticed(mixed, tmp_path):
    films = load(mixed, tmp_path, max_gb=STREAMED)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"Secret^Name" not in path.read_bytes()
    (shard,) = tmp_path.rglob("*.array_record-*")
    assert not films.images.damaged()
    whole = shard.read_bytes()
    at = whole.index(b"picture of a DICOM file ")
    for place in (at + 30, at + 100):  # in the digest, and in the PNG
        shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert load(mixed, tmp_path, max_gb=STREAMED).images.damaged()


def test_nothing_of_a_header_is_kept_unless_it_is_asked_for(mixed, tmp_path):
    films = load(mixed, tmp_path)
    assert films.columns == {} and not any("ID" in patient for patient in films.patients)
    assert sum(films.patients_known) == 6  # of the PNG films, by their names
    (facts,) = tmp_path.rglob(METADATA)
    assert json.loads(facts.read_text()).keys() == {"lateral", "columns"}
    assert json.loads(facts.read_text())["columns"] == {}


@pytest.mark.parametrize("max_gb", [CACHED, STREAMED])
def test_the_facts_that_are_asked_for_become_patients_and_columns(mixed, tmp_path, max_gb):
    for films in (load(mixed, tmp_path, EVERYTHING, max_gb=max_gb) for _ in range(2)):
        dicom = np.array([path.endswith(".dcm") for path in films.paths])
        assert all(films.patients_known)
        patients = np.array(films.patients)[dicom]
        assert len(set(patients)) == 6 and patients[0] == patients[1] != patients[2]
        assert all(len(patient) == 16 and int(patient, 16) for patient in patients)
        assert list(films.columns) == ["age", "sex", "view"]
        assert films.columns["age"][dicom].tolist() == ["20", "20", "50", "50", "80", "80"] * 2
        assert films.columns["sex"][dicom].tolist() == list("FFMMFF") * 2
        views = films.columns["view"][dicom].tolist()
        assert views == [*["PA"] * 5, "LL", *["AP"] * 5, "LL"]
        assert all(not any(values[~dicom]) for values in films.columns.values())
        some = films.select(np.flatnonzero(dicom)[-2:])
        assert some.columns["view"].tolist() == ["AP", "LL"] and some.lateral.tolist() == [1]


def test_lateral_views_are_counted_and_named_whatever_is_asked_for(mixed, tmp_path):
    for wanted in ((), EVERYTHING):
        lines: list[str] = []
        films = load(mixed, tmp_path, wanted, lines.append)
        (line,) = (line for line in lines if line.startswith("warning"))
        assert "2 of 18 films of 'train' are lateral views by their DICOM headers" in line
        assert "'train/NORMAL/5.dcm'" in line
        assert [films.paths[i] for i in films.lateral] == [
            "train/NORMAL/5.dcm",
            "train/PNEUMONIA/5.dcm",
        ]


def test_a_patient_has_one_hash_in_a_cache_folder_and_another_elsewhere(mixed, tmp_path):
    first = load(mixed, tmp_path / "one", EVERYTHING).patients
    again = load(mixed, tmp_path / "one", ("PatientID",)).patients
    other = load(mixed, tmp_path / "two", EVERYTHING).patients
    assert first == again
    assert all("-" in patient for patient in set(first) & set(other))  # those of PNG films
    salt = tmp_path / "one" / SALT
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert salt.read_text() != (tmp_path / "two" / SALT).read_text()
    (tmp_path / "two" / SALT).write_text(salt.read_text())
    assert load(mixed, tmp_path / "two", EVERYTHING).patients == first


def test_no_secret_is_made_if_no_patient_is_asked_for(mixed, tmp_path):
    load(mixed, tmp_path, ("PatientAge",))
    assert not (tmp_path / SALT).exists()


def test_a_damaged_secret_is_one_line(mixed, tmp_path):
    (tmp_path / SALT).write_text("nothing")
    with pytest.raises(UserError, match="cannot read .*patient_salt"):
        load(mixed, tmp_path, EVERYTHING)
    (tmp_path / SALT).write_text("ab")
    with pytest.raises(UserError, match="is not the secret for hashing patients' IDs"):
        load(mixed, tmp_path, EVERYTHING)


@pytest.mark.parametrize(
    "facts",
    ["[]", "{", '{"lateral": [], "columns": {"age": ["1"]}}', '{"lateral": 1, "columns": {}}'],
)
def test_changed_facts_are_read_anew(mixed, tmp_path, facts):
    expected = load(mixed, tmp_path, EVERYTHING)
    (path,) = tmp_path.rglob(METADATA)
    checksums = path.with_name("checksums.json")
    path.write_text(facts)
    stored = json.loads(checksums.read_text())
    stored[METADATA] = checksum(path)
    checksums.write_text(json.dumps(stored))
    lines: list[str] = []
    films = load(mixed, tmp_path, EVERYTHING, lines.append)
    assert any("is damaged; decoding its films again" in line for line in lines)
    assert films.columns["age"].tolist() == expected.columns["age"].tolist()


def test_verified_films_that_changed_are_decoded_again(mixed, tmp_path, make_dicom):
    root = shutil.copytree(mixed, tmp_path / "films")
    before = load(root, tmp_path / "cache", verify=True)
    film = root / "train" / "NORMAL" / "0.dcm"
    times, data = film.stat(), film.read_bytes()
    film.write_bytes(data[:-2] + bytes(2))
    os.utime(film, ns=(times.st_atime_ns, times.st_mtime_ns))
    lines: list[str] = []
    after = load(root, tmp_path / "cache", verify=True, log=lines.append)
    assert any("changed under the same size and time" in line for line in lines)
    assert after.digests[0] != before.digests[0]


def config_of(root, **fields):
    config = base.get_config()
    config.data.root, config.data.image_size = str(root), 32
    config.data.max_rejected_fraction = 0.2
    config.data.dicom_metadata = EVERYTHING
    config.data.update(fields)
    return config


def test_a_run_divides_dicom_films_by_patient_and_by_a_column(mixed, tmp_path):
    config = config_of(mixed, val_fraction=0.4, stratify="sex")
    splits = load_splits(config, tmp_path, log=lambda line: None)
    assert splits.audit.patients_known and splits.audit.shared_patients == 0
    # The only patient of a stratum stays in training.
    assert "M" not in splits.validation.columns["sex"]
    assert "F" in splits.validation.columns["sex"]


def test_a_column_that_the_films_do_not_have_is_named(mixed, tmp_path):
    config = config_of(mixed, stratify="scanner")
    with pytest.raises(
        UserError,
        match=r"config.data.stratify is 'scanner': .*; the films have 'age', 'sex', 'view'$",
    ):
        load_splits(config, tmp_path, log=lambda line: None)


def test_a_table_lists_dicom_files_without_a_suffix_and_its_own_values_come_first(
    tmp_path, make_dicom
):
    rows = ["path,label,patient,sex"]
    for i in range(6):
        grey = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40) + i
        data = make_dicom(grey, PatientID=f"ID {i}", PatientSex="F", ViewPosition="PA")
        (tmp_path / f"IM{i:04d}").write_bytes(data)
        patient, sex = ("Ann", "M") if i < 2 else ("Ben", "")
        rows.append(f"IM{i:04d},{('NORMAL', 'PNEUMONIA')[i % 2]},{patient},{sex}")
    (tmp_path / "films.csv").write_text("\n".join(rows))
    naming = FilmNaming(dicom_metadata=EVERYTHING)
    folder = find_any_films(tmp_path / "films.csv", "--films", naming)
    cache = FilmCache(tmp_path / "cache", CACHED, log=lambda line: None)
    films = load_split(folder, "all", SMALL, cache, max_rejected_fraction=0)
    for i, path in enumerate(films.paths):
        expected = decode_any((tmp_path / path).read_bytes(), SMALL)
        np.testing.assert_array_equal(films.pixels([i])[0], expected.pixels)
    assert films.patients == ["Ann", "Ann", "Ben", "Ben", "Ben", "Ben"]
    assert films.columns["sex"].tolist() == ["M", "M", "F", "F", "F", "F"]
    assert films.columns["view"].tolist() == ["PA"] * 6
    assert films.facts.from_table
