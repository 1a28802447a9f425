"""Batches hold each film once, in an order by the seed."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from pneumojax.data import pipeline
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.data.pipeline import (
    BatchOrder,
    balanced_order,
    batch_rows,
    epoch_order,
    evaluation_batches,
    films_per_epoch,
    steps_per_epoch,
    to_devices,
    training_batches,
)
from pneumojax.data.splits import load_splits
from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.sharding import make_mesh


@pytest.fixture
def films(films_root, cache_dir):
    """The training films, decoded."""
    cache = FilmCache(cache_dir, log=lambda line: None)
    folder = find_films(films_root)
    return load_split(folder, "train", Preprocessing(32), cache, max_rejected_fraction=0)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 56, 64])
def test_every_film_counts_once_in_an_epoch_at_any_batch_size(films, batch_size):
    steps = steps_per_epoch(len(films), batch_size)
    order = BatchOrder(films.labels, batch_size, seed=3)
    stream = training_batches(films, order, order.calls())
    for batches in (
        [next(stream) for _ in range(steps)],
        list(evaluation_batches(films, batch_size)),
    ):
        assert len(batches) == steps
        assert {batch["image"].shape for batch in batches} == {(batch_size, 32, 32, 1)}
        counted = np.concatenate([batch["film"][batch["mask"] == 1] for batch in batches])
        assert sorted(counted) == list(range(len(films)))
        for batch in batches:
            np.testing.assert_array_equal(batch["image"][..., 0], films.pixels(batch["film"]))
            np.testing.assert_array_equal(batch["label"], films.labels[batch["film"]])


def test_a_stream_can_start_at_any_step(films):
    order = BatchOrder(films.labels, 16, seed=5)
    whole = training_batches(films, order, order.calls())
    expected = [next(whole)["film"] for _ in range(12)]
    for start in (1, 4, 5, 9):
        resumed = training_batches(films, order, order.calls(start))
        np.testing.assert_array_equal(next(resumed)["film"], expected[start])


def test_batches_begin_before_tensorflow_is_imported_and_go_on_without_a_gap(films, monkeypatch):
    may_end, read_ahead_from = threading.Event(), []

    def slow_import():
        may_end.wait(60)
        return tensorflow()

    def read_ahead(tf, load, first):
        read_ahead_from.append(first)
        return pipeline_read_ahead(tf, load, first)

    pipeline_read_ahead = pipeline._read_ahead
    monkeypatch.setattr(pipeline, "tensorflow", slow_import)
    monkeypatch.setattr(pipeline, "_read_ahead", read_ahead)
    order = BatchOrder(films.labels, 16, seed=5)
    stream = training_batches(films, order, order.calls())
    batches = [next(stream) for _ in range(3)]
    assert not read_ahead_from
    may_end.set()
    tensorflow()  # imported by the other thread, or by this one
    while not read_ahead_from and len(batches) < 1_000:
        batches.append(next(stream))
    batches += [next(stream) for _ in range(3)]
    assert 3 <= read_ahead_from[0] < len(batches) - 3
    for step, batch in enumerate(batches):
        rows, mask = order.rows(range(step, step + 1))
        np.testing.assert_array_equal(batch["film"], rows[0])
        np.testing.assert_array_equal(batch["mask"], mask[0])
        np.testing.assert_array_equal(batch["image"][..., 0], films.pixels(rows[0]))


def test_tensorflow_is_imported_before_the_first_epoch_ends(films, monkeypatch):
    imported = threading.Event()

    def slow_import():
        time.sleep(0.5)
        imported.set()
        return tensorflow()

    monkeypatch.setattr(pipeline, "tensorflow", slow_import)
    order = BatchOrder(films.labels, 16, seed=5)
    stream = training_batches(films, order, order.calls(order.steps_per_epoch + 1))
    for _ in range(order.steps_per_epoch - 1):  # of the second epoch, from its second step on
        assert not imported.is_set()
        next(stream)
    assert imported.is_set()


def test_the_import_of_tensorflow_does_not_slow_the_first_step(films, monkeypatch):
    began = threading.Event()
    monkeypatch.setattr(pipeline, "tensorflow", lambda: began.set() or tensorflow())
    order = BatchOrder(films.labels, 8, seed=5)
    batches = to_devices(training_batches(films, order, order.calls()), make_mesh())
    next(batches)
    assert not began.wait(0.2)
    next(batches)
    assert began.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["", "tensorflow()"])
def test_a_process_ends_while_batches_are_under_way(films_root, cache_dir, first):
    script = f"""
import sys
from pathlib import Path
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.data.pipeline import BatchOrder, training_batches
from pneumojax.data.tensorflow_import import tensorflow
{first}
root, cache_dir = map(Path, sys.argv[1:])
cache = FilmCache(cache_dir)
films = load_split(find_films(root), "train", Preprocessing(32), cache, max_rejected_fraction=0)
order = BatchOrder(films.labels, 16, seed=0)
stream = training_batches(films, order, order.calls())
next(stream)
raise SystemExit(3)
"""
    arguments = [sys.executable, "-c", script, films_root, cache_dir]
    assert (
        subprocess.run(arguments, env=dict(os.environ, PYTHONPATH="."), timeout=120).returncode == 3
    )


def test_order_is_a_function_of_seed_and_epoch():
    first = epoch_order(100, seed=1, epoch=2)
    np.testing.assert_array_equal(first, epoch_order(100, seed=1, epoch=2))
    assert not np.array_equal(first, epoch_order(100, seed=1, epoch=3))
    assert not np.array_equal(first, epoch_order(100, seed=2, epoch=2))


def test_padding_is_made_of_films_and_masked():
    rows, mask = batch_rows(np.array([4, 2, 0, 1, 3]), batch_size=4, step=1)
    assert rows.tolist() == [3, 4, 2, 0] and mask.tolist() == [1, 0, 0, 0]


def test_validation_is_held_out_by_patient_and_a_fraction_of_zero_trains_on_all(config, cache_dir):
    config = config.copy_and_resolve_references()
    splits = load_splits(config, cache_dir)
    assert not set(splits.train.patients) & set(splits.validation.patients)
    assert "disjoint" in splits.audit.line()
    config.data.val_fraction = 0.0
    assert load_splits(config, cache_dir).validation is None


def test_shipped_validation_is_used_as_it_is_when_asked_for(config, films_root, tmp_path):
    config = config.copy_and_resolve_references()
    (tmp_path / "root").mkdir()
    for link, target in (("train", "train"), ("val", "test")):
        (tmp_path / "root" / link).symlink_to(films_root / target)
    config.data.root, config.data.val = str(tmp_path / "root"), "folder"
    splits = load_splits(config, tmp_path)
    assert len(splits.train) == 70 and len(splits.validation) == 14
    (tmp_path / "root" / "val").unlink()
    (tmp_path / "root" / "val").mkdir()
    (tmp_path / "root" / "val" / "NORMAL").symlink_to(films_root / "test" / "NORMAL")
    with pytest.raises(UserError, match="val of .* holds only NORMAL"):
        load_splits(config, tmp_path)


def test_one_class_alone_cannot_be_trained_on(config, films_root, tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "NORMAL").symlink_to(films_root / "train" / "NORMAL")
    config = config.copy_and_resolve_references()
    config.data.root = str(tmp_path)
    with pytest.raises(UserError, match="holds only NORMAL films"):
        load_splits(config, tmp_path / "cache")


def test_films_lie_as_jax_copies_them_fastest(films):
    """Indexing with None would add an axis of stride 0, and JAX would copy pixel by pixel."""
    image = next(evaluation_batches(films, 4))["image"]
    assert image.shape == (4, 32, 32, 1) and image.strides == (32 * 32, 32, 1, 1)


def test_a_balanced_epoch_has_every_rare_film_once_and_others_of_the_common_class_each_time():
    labels = np.array([0] * 5 + [1] * 20)
    assert films_per_epoch(labels, balanced=True) == 10
    assert films_per_epoch(labels, balanced=False) == 25
    seen = set()
    for epoch in range(60):
        order = balanced_order(labels, 3, epoch)
        assert len(order) == len(set(order)) == 10
        assert sorted(order[labels[order] == 0]) == list(range(5))
        seen |= set(order)
        np.testing.assert_array_equal(order, balanced_order(labels, 3, epoch))
    assert seen == set(range(25))


def test_each_fold_is_validation_once(config, cache_dir):
    seen = []
    for fold in range(3):
        config = config.copy_and_resolve_references()
        config.data.folds, config.data.fold = 3, fold
        splits = load_splits(config, cache_dir, log=lambda line: None)
        assert splits.audit.shared_patients == 0
        assert len(splits.train) + len(splits.validation) == len(
            {*splits.train.paths, *splits.validation.paths}
        )
        seen += splits.validation.paths
    assert sorted(seen) == sorted([*splits.train.paths, *splits.validation.paths])
