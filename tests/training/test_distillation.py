import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.inference.network import make_network
from pneumojax.training.distillation import (
    RECORD,
    Teachers,
    open_teachers,
    record_teachers,
    resized,
)
from pneumojax.training.loop import train


@pytest.fixture(scope="module")
def teacher(make_config, cache_dir, tmp_path_factory):
    """The folder of a run of one epoch."""
    config = make_config()
    config.epochs = 1
    folder = tmp_path_factory.mktemp("teacher")
    train(config.lock(), folder, cache_dir)
    return folder


def student(make_config, teacher, **fields):
    config = make_config()
    config.distill.teachers = (str(teacher),)
    config.update_from_flattened_dict(fields)
    return config.lock()


def opened(config, cache_dir):
    return open_teachers(config, load_splits(config, cache_dir, log=lambda _: None))


@pytest.mark.slow
@pytest.mark.parametrize(("weight", "temperature"), [(1.0, 1.0), (0.25, 4.0)])
def test_targets_are_a_mixture_of_labels_and_of_the_teachers_mean_probability(
    make_config, teacher, cache_dir, weight, temperature
):
    fields = {"distill.weight": weight, "distill.temperature": temperature}
    config = student(make_config, teacher, **fields)
    one = opened(config, cache_dir)
    negated = jax.tree.map(lambda leaf: -leaf, one.params[0])
    both = Teachers(one.networks * 2, one.sizes * 2, (), weight, temperature)
    size = config.data.image_size
    images = jax.random.uniform(jax.random.key(0), (4, size, size, 1))
    labels = jnp.array([0.0, 1.0, 1.0, 0.0])
    batch = {"image": images, "target": labels}
    found = both.targets((one.params[0], negated), batch, 2)["target"]
    network = make_network(config)
    logits = [network.evaluation_logits(p, images) for p in (one.params[0], negated)]
    soft = np.mean([1 / (1 + np.exp(-np.asarray(z) / temperature)) for z in logits], axis=0)
    # Two films at a time are summed in another order than four.
    np.testing.assert_allclose(found, weight * soft + (1 - weight) * labels, atol=1e-6)


def test_without_teachers_the_batch_stays_as_it_is():
    batch = {"image": jnp.zeros((2, 4, 4, 1)), "target": jnp.zeros(2)}
    assert Teachers().targets((), batch, 1) is batch


def test_a_teacher_sees_films_of_the_size_that_it_was_trained_on():
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, 8)[:, None, None], (2, 8, 8, 1))
    larger = resized(ramp, 16)
    assert larger.shape == (2, 16, 16, 1)
    np.testing.assert_allclose(jnp.mean(larger), 0.5, atol=1e-6)
    assert bool(jnp.all(jnp.diff(larger, axis=1) >= 0))
    assert resized(ramp, 8) is ramp


@pytest.mark.slow
def test_teachers_change_what_is_learned_and_an_interrupted_run_goes_on_to_the_same_bits(
    make_config, teacher, cache_dir, tmp_path
):
    def trained(folder, epochs, **fields):
        config = student(make_config, teacher, epochs=epochs, **fields)
        train(config, tmp_path / folder, cache_dir)
        steps = (tmp_path / folder / "checkpoints" / "latest").iterdir()
        checkpoint = max(steps, key=lambda step: int(step.name))
        return json.loads((checkpoint / "meta" / "metadata").read_text())["digests"]

    whole = trained("whole", 2)
    trained("halves", 1)
    assert trained("halves", 2) == whole
    fields = {"distill.weight": 0.5}
    assert trained("other", 2, **fields)["params"] != whole["params"]


def test_a_teacher_that_was_trained_on_held_out_patients_is_refused(
    make_config, teacher, cache_dir
):
    config = student(make_config, teacher, **{"data.split_seed": 1})
    with pytest.raises(UserError, match=r"was trained on \d+ of the \d+ validation films"):
        opened(config, cache_dir)


def test_a_teacher_without_a_list_of_films_or_a_run_is_refused(
    make_config, teacher, cache_dir, tmp_path
):
    config = student(make_config, teacher)
    splits = load_splits(config, cache_dir, log=lambda _: None)
    (teacher / "films.csv").rename(tmp_path / "films.csv")
    with pytest.raises(UserError, match=r"has no films\.csv"):
        open_teachers(config, splits)
    (tmp_path / "films.csv").rename(teacher / "films.csv")
    with pytest.raises(UserError, match="nowhere' .no config.json"):
        open_teachers(student(make_config, tmp_path / "nowhere"), splits)


def test_the_folder_of_a_cross_validation_stands_for_the_fold_of_the_same_number(
    make_config, teacher, cache_dir, tmp_path
):
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "fold-1").symlink_to(teacher)
    fields = {"data.folds": 2, "data.fold": 1}
    with pytest.raises(UserError, match=r"fold-1' was trained on"):  # of no folds
        opened(student(make_config, tmp_path / "folds", **fields), cache_dir)
    with pytest.raises(UserError, match="no run in"):
        opened(student(make_config, tmp_path / "folds", **fields | {"data.fold": 0}), cache_dir)


def test_a_teacher_that_changed_in_the_middle_of_a_run_is_refused(tmp_path):
    record_teachers(Teachers(digests={"a": "1", "b": "2"}), tmp_path)
    assert json.loads((tmp_path / RECORD).read_text()) == {"a": "1", "b": "2"}
    record_teachers(Teachers(digests={"a": "1", "b": "2"}), tmp_path)
    with pytest.raises(UserError, match="'b' has changed since"):
        record_teachers(Teachers(digests={"a": "1", "b": "3"}), tmp_path)


def test_a_run_without_teachers_records_none(tmp_path):
    record_teachers(Teachers(), tmp_path)
    assert not (tmp_path / RECORD).exists()
