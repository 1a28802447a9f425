"""Films streamed from shards equal those of the cache bit for bit; damage is reported."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image

from pneumojax.data import cache, cache_build, disk_space
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.cache_build import Decoding
from pneumojax.data.films import find_films
from pneumojax.data.pipeline import BatchOrder, evaluation_batches, training_batches
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError

STREAMED, CACHED = 1e-9, 1.0
REDUCED = Preprocessing(32, reduced_decode=True)


def batches_of(films, batch_size, *, seed, start_step, balanced=False):
    order = BatchOrder(films.labels, batch_size, seed, balanced)
    return training_batches(films, order, order.calls(start_step))


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory):
    """Films of every kind that is decoded in its own way, a damaged one and a duplicate."""
    root = tmp_path_factory.mktemp("all kinds") / "films"
    rng = np.random.default_rng(0)
    kinds = ["L.jpeg", "RGB.jpeg", "CMYK.jpeg", "I;16.png", "RGBA.png", "EXIF.jpeg"]
    for label, (name, i) in itertools.product((0, 1), itertools.product(kinds, range(3))):
        folder = root / "train" / ("NORMAL", "PNEUMONIA")[label]
        folder.mkdir(parents=True, exist_ok=True)
        mode, suffix = name.split(".")
        film = Image.fromarray(rng.integers(0, 256, (100 + 40 * i, 130), np.uint8))
        options = {}
        if mode == "EXIF":
            options["exif"] = Image.Exif()
            options["exif"][0x0112] = 6
        elif mode == "I;16":
            film = Image.fromarray(rng.integers(0, 2**16, (100, 130), np.uint16))
        else:
            film = film.convert(mode)
        number = 3 * kinds.index(name) + i
        stem = f"IM-{number:04d}-0001" if label == 0 else f"person{number}_virus_1"
        film.save(folder / f"{stem}.{suffix}", **options)
    whole = root / "train" / "NORMAL" / "IM-0000-0001.jpeg"
    whole.with_stem("IM-0900-0001").write_bytes(whole.read_bytes()[:-300])
    shutil.copy(whole, whole.with_stem("IM-0901-0001"))  # a duplicate
    return root


def load(root, cache_dir, max_gb=STREAMED, *, verify=False, log=lambda line: None):
    cache = FilmCache(cache_dir, max_gb, verify, log)
    return load_split(find_films(root), "train", REDUCED, cache, max_rejected_fraction=0.1)


def shard_of(cache_dir):
    (entry,) = (cache_dir / "shards").iterdir()
    (shard,) = entry.glob("*.array_record-*")
    return shard


def flip(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("start", [0, 4])
def test_streamed_batches_are_the_cached_ones_bit_for_bit(all_kinds, cache_dir, balanced, start):
    """Batches of more than an epoch, from its start and from its middle."""
    streams = [
        batches_of(load(all_kinds, cache_dir, gb), 5, seed=3, start_step=start, balanced=balanced)
        for gb in (CACHED, STREAMED)
    ]
    for _ in range(12):
        cached, streamed = map(next, streams)
        assert cached["image"].dtype == streamed["image"].dtype == np.uint8
        for name in cached:
            np.testing.assert_array_equal(cached[name], streamed[name])
    assert len(np.unique(cached["image"])) > 50  # the batches are not empty


def test_streamed_evaluation_is_the_cached_one_bit_for_bit(all_kinds, cache_dir):
    cached, streamed = (load(all_kinds, cache_dir, gb) for gb in (CACHED, STREAMED))
    pairs = zip(evaluation_batches(cached, 8), evaluation_batches(streamed, 8), strict=True)
    for one, other in pairs:
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_what_is_known_of_streamed_films_is_what_the_cache_knows(all_kinds, cache_dir):
    cached, streamed = (load(all_kinds, cache_dir, gb) for gb in (CACHED, STREAMED))
    assert not isinstance(streamed.images, np.ndarray) and streamed.images.shape == (37, 32, 32)
    assert (
        cached.rejected
        == streamed.rejected
        == [("train/NORMAL/IM-0900-0001.jpeg", "truncated JPEG")]
    )
    for name in ("paths", "digests", "patients", "patients_known", "fingerprint", "ignored"):
        assert getattr(cached, name) == getattr(streamed, name)
    for name in ("labels", "sizes", "rows"):
        np.testing.assert_array_equal(getattr(cached, name), getattr(streamed, name))
    assert len(set(streamed.digests)) == 36 and streamed.digests[0] == streamed.digests[-19]
    chosen = np.array([30, 2, 7])
    assert streamed.select(chosen).paths == [streamed.paths[i] for i in chosen]
    np.testing.assert_array_equal(
        streamed.select(chosen).pixels(np.array([2, 0])), cached.pixels(np.array([7, 30]))
    )


def test_shards_are_written_once_whatever_the_size_of_films(all_kinds, tmp_path, monkeypatch):
    load(all_kinds, tmp_path)
    monkeypatch.setattr(cache, "build_entry", None)  # calling it would raise
    films = load_split(
        find_films(all_kinds),
        "train",
        Preprocessing(48, "nearest"),
        FilmCache(tmp_path, STREAMED),
        max_rejected_fraction=0.1,
    )
    assert films.pixels(np.arange(3)).shape == (3, 48, 48)


def test_shards_are_a_data_set_that_tfds_opens(all_kinds, tmp_path):
    import tensorflow_datasets as tfds

    films = load(all_kinds, tmp_path)
    source = tfds.builder_from_directory(str(shard_of(tmp_path).parent)).as_data_source("films")
    assert len(source) == len(films)
    assert source[4]["file"] == (all_kinds / films.paths[4]).read_bytes()


@pytest.fixture
def disk_of(monkeypatch):
    """`(bytes)` sets the free space of the disk."""
    usage = namedtuple("usage", "free")
    return lambda free: monkeypatch.setattr(
        disk_space.shutil, "disk_usage", lambda path: usage(int(free))
    )


def test_what_nine_tenths_of_the_free_disk_would_not_hold_is_streamed_and_told_why(
    all_kinds, tmp_path, disk_of, monkeypatch
):
    decoded, told = 38 * 32 * 32, []
    monkeypatch.setattr(
        cache, "require_disk_space", lambda *arguments: None
    )  # the test's files are larger than their pixels
    disk_of(decoded / 0.9 - 1)
    load(all_kinds, tmp_path / "little", 0.0, log=told.append)
    assert told[0].startswith(
        "train: 38 films take 38.9 kB decoded, more than 90% of the 43.2 kB free in the cache "
        "folder; films are streamed from shards in "
    )
    assert "38/38 films" in told[-1]
    disk_of(decoded / 0.9 + 1)
    assert isinstance(load(all_kinds, tmp_path / "enough", 0.0).images, np.ndarray)
    disk_of(0)
    assert isinstance(
        load(all_kinds, tmp_path / "enough", 0.0).images, np.ndarray
    )  # the entry exists


def test_what_half_of_the_memory_would_not_hold_is_streamed_and_told_why(
    all_kinds, tmp_path, monkeypatch
):
    decoded, told = 38 * 32 * 32, []
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(disk_space, "_CONTAINER", limit)
    for free, streams in ((2 * decoded - 1, True), (2 * decoded, False), ("max", False)):
        limit.write_text(f"{free}\n")
        films = load(all_kinds, tmp_path / str(free), 0.0, log=told.append)
        assert isinstance(films.images, np.ndarray) != streams
        if streams:
            assert "38 films take 38.9 kB decoded, more than 50% of the 77.8 kB of mem" in told[0]


def test_films_that_fit_in_neither_form_are_one_line_before_anything_is_written(
    all_kinds, tmp_path, disk_of
):
    disk_of(5_000)
    with pytest.raises(
        UserError, match="38 films take 38.9 kB decoded, more than .*in shards they take"
    ):
        load(all_kinds, tmp_path / "cache", 0.0)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["flipped byte", "vanished"])
@pytest.mark.fault
def test_a_shard_that_is_damaged_while_it_is_read_is_one_line_that_says_what_mends_it(
    all_kinds, tmp_path, damage
):
    films = load(all_kinds, tmp_path)
    expected = films.pixels(np.arange(len(films)))
    films = load(all_kinds, tmp_path)
    shard = shard_of(tmp_path)
    flip(shard) if damage == "flipped byte" else shard.rename(shard.with_name("away"))
    line = "the shards in .* are damaged at film 'train/.*'.* --verify_films"
    with pytest.raises(UserError, match=line):
        for batch in itertools.islice(batches_of(films, 8, seed=0, start_step=0), 5):
            np.testing.assert_array_equal(batch["image"][..., 0], expected[batch["film"]])
    with pytest.raises(UserError, match=line):
        list(evaluation_batches(films, 8))
    told = []
    mended = load(all_kinds, tmp_path, verify=True, log=told.append)
    assert any("is damaged; decoding its films again" in line for line in told)
    np.testing.assert_array_equal(mended.pixels(np.arange(len(mended))), expected)
    told.clear()
    load(all_kinds, tmp_path, verify=True, log=told.append)
    assert len(told) == 1  # the notice that films are streamed


def test_another_film_in_a_films_place_is_seen(all_kinds, tmp_path):
    """Checksums of the shard cannot see it, since the shard is whole and holds other films."""
    films = load(all_kinds, tmp_path)
    records = films.records.copy()
    records["sha256"][3] = records["sha256"][4]
    films.images._index = replace(films.images._index, records=records)
    films.pixels(np.array([2, 4]))
    with pytest.raises(UserError, match="IM-0003-0001.jpeg' .not the file that was stored"):
        films.pixels(np.array([2, 3]))


@pytest.mark.parametrize("name", ["films.bin", "paths.bin", "checksums.json", "a shard, cut short"])
@pytest.mark.fault
def test_damage_that_can_be_seen_at_once_has_the_shards_written_anew(all_kinds, tmp_path, name):
    paths, told = list(load(all_kinds, tmp_path).paths), []
    shard = shard_of(tmp_path)
    if name in ("films.bin", "paths.bin", "checksums.json"):
        flip(shard.with_name(name))
    else:
        os.truncate(shard, shard.stat().st_size // 2)
    assert load(all_kinds, tmp_path, log=told.append).paths == paths
    assert "is damaged; decoding its films again" in told[1]


def test_shards_that_are_not_finished_are_not_there(all_kinds, tmp_path, monkeypatch):
    real = cache_build._decoded

    def stop(*arguments):
        yield from itertools.islice(real(*arguments), 3)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cache_build, "_decoded", stop)
        load(all_kinds, tmp_path)
    assert list((tmp_path / "shards").iterdir()) == []
    load(all_kinds, tmp_path)
    entry = shard_of(tmp_path).parent
    abandoned = entry.rename(
        entry.with_name(f"{entry.name}.building-{2**22 + 1}")
    )  # no such process
    assert len(load(all_kinds, tmp_path)) == 37
    assert not abandoned.exists()


def test_a_full_disk_under_the_shards_is_one_line_and_leaves_nothing(
    all_kinds, tmp_path, monkeypatch
):
    """The library that writes shards reports the system's error as a RuntimeError."""
    from pneumojax.data import shards

    def full(self, examples):
        raise RuntimeError("write() failed: No space left on device; writing /x; at byte 7")

    monkeypatch.setattr(shards.tfds.core.SequentialWriter, "add_examples", full)
    with pytest.raises(UserError, match="^cannot write .*No space left on device;"):
        load(all_kinds, tmp_path)
    assert list((tmp_path / "shards").iterdir()) == []


def test_no_more_films_are_read_ahead_than_the_cores_can_use(all_kinds, monkeypatch):
    """However many films there are, only a few may wait in memory until they are stored."""
    read, started = cache_build.read_bytes, []
    monkeypatch.setattr(cache_build.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(
        cache_build, "read_bytes", lambda *given: [started.append(given), read(*given)][1]
    )
    folder = find_films(all_kinds)
    folder = replace(folder, files=folder.files * 10)
    # The calls that wait, and the one whose films are being stored.
    most_ahead = (2 * cache_build._AHEAD + 1) * cache_build._IN_A_CALL
    for taken, _ in enumerate(cache_build._decoded(folder, Decoding(REDUCED)), start=1):
        assert len(started) <= taken + most_ahead
    assert taken == len(started) == 380


@pytest.mark.parametrize("process", [0, 1])
def test_each_of_two_processes_reads_its_share_alone(all_kinds, cache_dir, monkeypatch, process):
    films = load(all_kinds, cache_dir)
    whole = next(batches_of(films, 8, seed=0, start_step=2))
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: process)
    files, read = films.images._file, set()
    lock = threading.Lock()

    def counted(row):
        with lock:
            read.add(row)
        return files(row)

    monkeypatch.setattr(films.images, "_file", counted)
    batch = next(batches_of(films, 8, seed=0, start_step=2))
    share = slice(4 * process, 4 * process + 4)
    np.testing.assert_array_equal(batch["image"], whole["image"][share])
    assert set(batch["film"]) <= read
    others = set(whole["film"][share.start ^ 4 : (share.start ^ 4) + 4])
    assert not others & read  # two batches ahead cover 24 of 37 films


@pytest.mark.slow
def test_a_process_ends_while_films_are_streamed(all_kinds, cache_dir):
    script = """
import sys
from pathlib import Path
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.cache_build import Decoding
from pneumojax.data.films import find_films
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.data.pipeline import BatchOrder, training_batches
root, cache_dir = map(Path, sys.argv[1:])
cache = FilmCache(cache_dir, 1e-9)
films = load_split(find_films(root), "train", Preprocessing(32), cache, max_rejected_fraction=0.1)
order = BatchOrder(films.labels, 16, seed=0)
next(training_batches(films, order, order.calls()))
raise SystemExit(3)
"""
    result = subprocess.run(
        [sys.executable, "-c", script, all_kinds, cache_dir],
        env=dict(os.environ, PYTHONPATH="."),
        timeout=120,
    )
    assert result.returncode == 3
