"""A cache entry that was changed, or belongs to other films, is rebuilt and never used."""

import json
import pickle
import shutil
import zlib

import numpy as np
import pytest

from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.data.index import RECORD
from pneumojax.decoding.preprocessing import Preprocessing


def load(root, cache_dir, log):
    cache = FilmCache(cache_dir, log=log)
    return load_split(find_films(root), "train", Preprocessing(32), cache, max_rejected_fraction=0)


def truncated(entry):
    data = (entry / "images.npy").read_bytes()
    (entry / "images.npy").write_bytes(data[: len(data) // 2])


def of_objects(entry):
    np.save(entry / "images.npy", np.array([[print]], object), allow_pickle=True)


def of_another_size(entry):
    np.save(entry / "images.npy", np.zeros((70, 8, 8), np.uint8))


def of_floats(entry):
    np.save(entry / "images.npy", np.zeros((70, 32, 32), np.float32))


def by_columns(entry):
    np.save(entry / "images.npy", np.asfortranarray(np.load(entry / "images.npy")))


def a_pickle(entry):
    (entry / "images.npy").write_bytes(pickle.dumps([1]))


def an_archive(entry):
    with open(entry / "images.npy", "wb") as stream:
        np.savez(stream, a=np.zeros(1))


def an_index_too_short(entry):
    data = (entry / "films.bin").read_bytes()
    (entry / "films.bin").write_bytes(data[: -RECORD.itemsize])


def an_index_cut_within_a_record(entry):
    data = (entry / "films.bin").read_bytes()
    (entry / "films.bin").write_bytes(data[:-1])


def paths_beyond_the_text(entry):
    records = np.fromfile(entry / "films.bin", RECORD)
    records["path_end"] += 1 << 40
    records.tofile(entry / "films.bin")


def a_film_without_a_size(entry):
    records = np.fromfile(entry / "films.bin", RECORD)
    records["size"][3] = 0
    records.tofile(entry / "films.bin")


def no_paths(entry):
    (entry / "paths.bin").unlink()


def a_file_too_many(entry):
    (entry / "extra").write_bytes(b"")


def no_list_of_rejected(entry):
    (entry / "rejected.json").write_text("{}")


def numbers_rejected(entry):
    (entry / "rejected.json").write_text("[[1, 2]]")


CHANGES = [
    truncated,
    of_objects,
    of_another_size,
    of_floats,
    by_columns,
    a_pickle,
    an_archive,
    an_index_too_short,
    an_index_cut_within_a_record,
    paths_beyond_the_text,
    a_film_without_a_size,
    no_paths,
    a_file_too_many,
    no_list_of_rejected,
    numbers_rejected,
]


@pytest.mark.parametrize("checksums", ["as they were", "written anew"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_entry_is_made_anew_with_one_line(change, checksums, films_root, tmp_path):
    films = load(films_root, tmp_path, lambda line: None)
    pixels, paths = films.pixels(np.arange(len(films))), list(films.paths)
    (entry,) = (tmp_path / "films").iterdir()
    change(entry)
    if checksums == "written anew" and change is not a_file_too_many:
        sums = {
            path.name: zlib.crc32(path.read_bytes())
            for path in entry.iterdir()
            if path.name != "checksums.json"
        }
        (entry / "checksums.json").write_text(json.dumps(sums))
    told: list[str] = []
    again = load(films_root, tmp_path, told.append)
    assert sum("is damaged; decoding its films again" in line for line in told) == 1
    np.testing.assert_array_equal(again.pixels(np.arange(len(again))), pixels)
    assert list(again.paths) == paths


@pytest.mark.parametrize("kind", ["file", "link"])
def test_something_else_in_the_place_of_an_entry_is_replaced(kind, films_root, tmp_path):
    load(films_root, tmp_path, lambda line: None)
    (entry,) = (tmp_path / "films").iterdir()
    shutil.rmtree(entry)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("not ours")
    entry.write_text("no folder") if kind == "file" else entry.symlink_to(elsewhere)
    assert len(load(films_root, tmp_path, lambda line: None)) == 70
    assert not entry.is_symlink() and entry.is_dir()
    assert (elsewhere / "kept").read_text() == "not ours"
