"""Entries of the cache are whole or absent, and hold what the films hold now."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumojax.data import cache, cache_build
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.decoding.film import decode_film
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError

SMALL = Preprocessing(image_size=32)


def load(root: Path, cache_dir: Path, max_rejected_fraction=0.0, verify=False):
    cache = FilmCache(cache_dir, verify=verify, log=lambda line: None)
    folder = find_films(root)
    return load_split(folder, "train", SMALL, cache, max_rejected_fraction=max_rejected_fraction)


@pytest.fixture
def own_root(tmp_path):
    """Ten films that a test may change."""
    rng = np.random.default_rng(0)
    for name, count in (("NORMAL", 4), ("PNEUMONIA", 6)):
        folder = tmp_path / "films" / "train" / name
        folder.mkdir(parents=True)
        for i in range(count):
            stem = f"IM-{i:04d}-0001" if name == "NORMAL" else f"person{i}_virus_1"
            Image.fromarray(rng.integers(0, 256, (40, 50), np.uint8)).save(folder / f"{stem}.jpeg")
    return tmp_path / "films"


def test_the_cache_has_the_pixels_the_size_and_the_digest_of_each_file(own_root, tmp_path):
    films = load(own_root, tmp_path / "cache")
    for i, path in enumerate(films.paths):
        data = (own_root / path).read_bytes()
        np.testing.assert_array_equal(films.pixels([i])[0], decode_film(data, SMALL).pixels)
        assert films.digests[i] == hashlib.sha256(data).hexdigest()
    assert films.sizes.tolist() == [[50, 40]] * 10


def test_a_second_opening_decodes_nothing_and_gives_the_same_films(
    films_root, tmp_path, monkeypatch
):
    first = load(films_root, tmp_path / "cache")
    monkeypatch.setattr(cache, "build_entry", None)  # calling it would raise
    second = load(films_root, tmp_path / "cache")
    assert first.paths == second.paths and first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(
        first.pixels(np.arange(len(first))), second.pixels(np.arange(len(second)))
    )


@pytest.mark.parametrize("change", ["size", "time", "preprocessing", "name"])
def test_a_changed_film_or_preprocessing_is_decoded_again(own_root, tmp_path, change):
    before = load(own_root, tmp_path / "cache")
    film = own_root / before.paths[0]
    preprocessing = SMALL
    if change == "size":
        Image.new("L", (60, 60), 9).save(film)
    elif change == "time":
        os.utime(film, ns=(1, 1))
    elif change == "preprocessing":
        preprocessing = Preprocessing(32, "nearest")
    else:
        film.rename(film.with_stem("IM-0099-0001"))
    lines = []
    cache = FilmCache(tmp_path / "cache", log=lines.append)
    load_split(find_films(own_root), "train", preprocessing, cache, max_rejected_fraction=0)
    assert any("10/10" in line for line in lines)


def test_contents_changed_behind_size_and_time_are_found_on_request(own_root, tmp_path):
    before = load(own_root, tmp_path / "cache")
    film = own_root / before.paths[0]
    data, stat = bytearray(film.read_bytes()), film.stat()
    data[-20] ^= 1
    film.write_bytes(data)
    os.utime(film, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert load(own_root, tmp_path / "cache").digests == before.digests
    assert load(own_root, tmp_path / "cache", verify=True).digests != before.digests
    assert load(own_root, tmp_path / "cache").digests != before.digests


def test_a_build_that_stops_half_way_leaves_nothing_to_trust(own_root, tmp_path, monkeypatch):
    def stop(*arguments):
        yield from list(real(*arguments))[:3]
        raise KeyboardInterrupt

    real = cache_build._decoded
    monkeypatch.setattr(cache_build, "_decoded", stop)
    with pytest.raises(KeyboardInterrupt):
        load(own_root, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "films").glob("*"))
    monkeypatch.setattr(cache_build, "_decoded", real)
    assert len(load(own_root, tmp_path / "cache")) == 10


def test_what_a_killed_build_left_is_removed(own_root, tmp_path):
    entry = (
        next((tmp_path / "cache" / "films").glob("*"))
        if load(own_root, tmp_path / "cache")
        else None
    )
    abandoned = entry.with_name(f"{entry.name}.building-{2**22 + 1}")  # no such process
    entry.rename(abandoned)
    assert len(load(own_root, tmp_path / "cache")) == 10
    assert not abandoned.exists()


def test_unreadable_films_are_listed_with_their_reason_up_to_the_allowed_share(own_root, tmp_path):
    bad = own_root / "train" / "NORMAL" / "IM-0000-0001.jpeg"
    bad.write_bytes(bad.read_bytes()[:-300])
    with pytest.raises(UserError, match=r"max_rejected_fraction: 1 of 10 .*IM-0000-0001.jpeg: tr"):
        load(own_root, tmp_path / "cache")
    films = load(own_root, tmp_path / "cache", max_rejected_fraction=0.1)
    assert films.rejected == [("train/NORMAL/IM-0000-0001.jpeg", "truncated JPEG")]
    assert len(films) == 9 and "train/NORMAL/IM-0000-0001.jpeg" not in films.paths


def test_no_readable_film_is_one_clear_line(own_root, tmp_path):
    for film in own_root.rglob("*.jpeg"):
        film.write_bytes(b"not a film")
    with pytest.raises(UserError, match="none of 10 files .* is a readable film"):
        load(own_root, tmp_path / "cache", max_rejected_fraction=1.0)


def test_missing_split_names_those_that_are_there(own_root, tmp_path):
    with pytest.raises(UserError, match="'test' .* holds no film .*with films: train"):
        find_films(own_root).of_split("test")
