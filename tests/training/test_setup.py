"""Batches that are larger than the training set, and small validation sets."""

import numpy as np
import pytest

from pneumojax.data.classes import ClassNames
from pneumojax.errors import UserError
from pneumojax.sharding import make_mesh
from pneumojax.training.loop import train
from pneumojax.training.setup import check_batch, few_validation_films


def batches_of(config, size):
    config = config.copy_and_resolve_references()
    config.batch_size = size
    return config.lock()


@pytest.mark.parametrize("size", [1, 16, 60])
def test_a_batch_of_at_most_the_films_is_not_mentioned(config, size):
    assert check_batch(batches_of(config, size), make_mesh(), 60) == ""


@pytest.mark.parametrize("size", [61, 64, 119])
def test_a_batch_a_little_larger_than_the_films_is_trained_and_said(config, size):
    note = check_batch(batches_of(config, size), make_mesh(), 60)
    assert note.startswith(f"note: config.batch_size is {size} and there are 60 training films")
    assert f"filled up with {size - 60} copies" in note


@pytest.mark.parametrize("size", [120, 100_000])
def test_a_batch_that_would_be_padding_for_the_most_part_is_refused(config, size):
    with pytest.raises(UserError, match=r"^config\.batch_size is .* 60 .*: use at most 60$"):
        check_batch(batches_of(config, size), make_mesh(), 60)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((20, 20), ""),
        ((19, 300), "only 19 films of healthy"),
        ((3, 0), "only 3 films of healthy and 0 films of sick"),
    ],
)
def test_few_validation_films_of_a_class_are_said_before_training(counts, said):
    note = few_validation_films(np.repeat([0, 1], counts), ClassNames("healthy", "sick"))
    assert said in note and bool(said) == bool(note)


def test_a_run_with_such_a_batch_leaves_nothing(config, cache_dir, tmp_path):
    with pytest.raises(UserError, match="use at most 55"):
        train(batches_of(config, 1_000), tmp_path / "run", cache_dir)
    assert not (tmp_path / "run").exists()
