"""Films that a pipeline ingested equal those of the ordinary cache; damage is noticed."""

import json

import numpy as np
import pytest

from pneumojax.beam.ingest import ingest
from pneumojax.data.ingested import INDEX, IngestedFilms
from pneumojax.data.pipeline import BatchOrder, training_batches
from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.files import read_csv
from tests.beam.conftest import InThisProcess


@pytest.fixture
def its_config(make_config, films_with_damage):
    """A config whose films are those with a damaged one."""
    config = make_config().unlock()
    config.data.root = str(films_with_damage)
    config.data.max_rejected_fraction = 0.1
    return config.lock()


def load(config, cache, **options):
    return load_splits(config, cache, log=options.pop("log", lambda line: None), **options)


def test_ingested_films_are_those_of_the_cache_bit_for_bit(its_config, tmp_path):
    (place,) = ingest(its_config, None, tmp_path / "beam", 16, InThisProcess())
    ingested = load(its_config, tmp_path / "beam")
    ordinary = load(its_config, tmp_path / "ordinary")
    assert isinstance(ingested.train.images, IngestedFilms)
    assert isinstance(ordinary.train.images, np.ndarray)
    assert ingested.fingerprint == ordinary.fingerprint
    assert ingested.rejected == ordinary.rejected
    for ours, theirs in (
        (ingested.train, ordinary.train),
        (ingested.validation, ordinary.validation),
    ):
        everything = np.arange(len(theirs))
        assert len(theirs) and np.array_equal(ours.pixels(everything), theirs.pixels(everything))
        assert ours.paths == theirs.paths and np.array_equal(ours.labels, theirs.labels)
    (entry,) = (tmp_path / "ordinary" / "films").iterdir()
    for name in ("films.bin", "paths.bin", "rejected.json"):
        assert (place / INDEX / name).read_bytes() == (entry / name).read_bytes()


@pytest.mark.slow
def test_batches_come_from_the_shards_in_the_same_order(its_config, tmp_path):
    ingest(its_config, None, tmp_path / "beam", 16, InThisProcess())
    batches = []
    for cache in ("beam", "ordinary"):
        films = load(its_config, tmp_path / cache).train
        order = BatchOrder(films.labels, 16, seed=3)
        stream = training_batches(films, order, order.calls(2))
        batches.append([next(stream)["image"] for _ in range(6)])
    assert np.array_equal(*batches)


def test_the_folder_lists_the_division_by_patient_and_the_rejected_files(its_config, tmp_path):
    (place,) = ingest(its_config, None, tmp_path, 16, InThisProcess())
    rows = read_csv(place / "films.csv")
    patients = {
        side: {r["patient"] for r in rows if r["side"] == side} for side in ("train", "validation")
    }
    assert len(rows) == 70 and all(patients.values())
    assert not patients["train"] & patients["validation"]
    (rejected,) = read_csv(place / "rejected_films.csv")
    assert rejected["file"] == "train/NORMAL/IM-9000-0001.jpeg" and rejected["reason"]


def test_a_stopped_ingest_goes_on_with_the_shards_that_are_left(its_config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        ingest(its_config, None, tmp_path, 16, InThisProcess(stop_after=2))
    later = InThisProcess()
    (place,) = ingest(its_config, None, tmp_path, 16, later)
    counts = json.loads((place / INDEX / "shards.json").read_text())
    assert later.finished == [name for name, _ in counts][2:]
    assert sum(films for _, films in counts) == 70
    again = InThisProcess()
    ingest(its_config, None, tmp_path, 16, again)
    assert not again.finished


def flip(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1
    path.write_bytes(data)


@pytest.mark.slow
def test_damaged_shards_are_never_trained_on(its_config, tmp_path):
    (place,) = ingest(its_config, None, tmp_path, 16, InThisProcess())
    flip(place / "shards" / "00001-of-00005" / "images.npy")
    films = load(its_config, tmp_path).train
    with pytest.raises(UserError, match="00001-of-00005.*its checksum is wrong.*ingest the films"):
        films.images.take(np.arange(70))
    lines = []
    verified = load(its_config, tmp_path, verify=True, log=lines.append).train
    assert isinstance(verified.images, np.ndarray)
    assert any("are damaged and are not used" in line for line in lines)


@pytest.mark.slow
def test_a_damaged_index_is_not_used(its_config, tmp_path):
    (place,) = ingest(its_config, None, tmp_path, 16, InThisProcess())
    flip(place / INDEX / "films.bin")
    assert isinstance(load(its_config, tmp_path).train.images, np.ndarray)


@pytest.mark.slow
def test_a_changed_film_leads_to_another_folder(its_config, films_with_damage, tmp_path):
    (first,) = ingest(its_config, None, tmp_path, 16, InThisProcess())
    film = next((films_with_damage / "train" / "PNEUMONIA").iterdir())
    film.touch()
    (second,) = ingest(its_config, None, tmp_path, 16, InThisProcess())
    assert first != second
