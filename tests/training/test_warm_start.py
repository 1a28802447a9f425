"""Starting from existing weights: arrays that fit are taken, and errors name the reason."""

import hashlib
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from pneumojax.errors import UserError
from pneumojax.inference.network import make_network
from pneumojax.run.stored_config import read_config
from pneumojax.training.loop import train
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.warm_start import merge, read_source, start_from, weights_to_start_from
from pneumojax.weights import published


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return config.lock()


@pytest.fixture
def trained(finished_run):
    """The config and the folder of a short run of a small network."""
    return finished_run.config, finished_run.folder


def begun(config, folder):
    network = make_network(config)
    source = weights_to_start_from(config, network, folder, download=False)
    state = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))()
    return state, start_from(source, network, state, folder), network


@pytest.mark.slow
def test_a_run_goes_on_from_another_and_heads_that_do_not_fit_are_new(trained, tmp_path, capsys):
    config, folder = trained
    ours = changed(config, start__weights=str(folder), model__heads=("main",), seed=5)
    before, after, _ = begun(ours, tmp_path)
    theirs = read_source(folder).arrays
    for place, leaf in flatten_dict(after.params).items():
        if place[0] == "main_head":
            np.testing.assert_array_equal(leaf, flatten_dict(before.params)[place])
        else:
            np.testing.assert_array_equal(leaf, theirs[place])
    rows = {
        row["stage"]: row for row in json.loads((tmp_path / "start.json").read_text())["stages"]
    }
    assert rows["stem1"] == {"stage": "stem1", "taken": 2, "new": 0, "unused": 0}
    assert rows["main_head"]["new"] == 4 and rows["auxiliary_head"]["unused"] == 6
    assert "stem1" in capsys.readouterr().out


@pytest.mark.slow
def test_three_channels_become_one_that_answers_alike(trained, tmp_path):
    config, folder = trained
    ours = changed(config, start__weights=str(folder), model__channels=1)
    _, after, network = begun(ours, tmp_path)
    films = jax.random.uniform(jax.random.key(0), (3, 32, 32, 1))
    theirs = make_network(config)
    source = read_source(folder).arrays
    from flax.traverse_util import unflatten_dict

    expected = theirs.logits(unflatten_dict(source), films)["auxiliary"]
    found = network.logits(after.params, films)["auxiliary"]
    np.testing.assert_allclose(found, expected, atol=1e-5)  # sums of float32 in another order


@pytest.mark.slow
def test_a_run_with_an_average_of_weights_begins_from_another(trained, cache_dir, tmp_path):
    config, folder = trained
    fields = {"start__weights": str(folder), "average__decay": 0.5, "epochs": 1}
    train(changed(config, **fields), tmp_path / "run", cache_dir)
    assert (tmp_path / "run" / "checkpoints" / "best").is_dir()


def test_merge_counts_each_array_once_and_changes_no_shape():
    ours = {
        ("stem1", "kernel"): jnp.zeros((3, 3, 1, 4)),
        ("main_head", "logit", "bias"): jnp.zeros(1),
    }
    theirs = {
        ("stem1", "kernel"): np.ones((3, 3, 3, 4), np.float32),
        ("main_head", "logit", "bias"): np.ones(7, np.float32),
        ("elsewhere", "kernel"): np.ones(2, np.float32),
    }
    merged, rows = merge(ours, theirs)
    np.testing.assert_array_equal(merged["stem1", "kernel"], 3)
    np.testing.assert_array_equal(merged["main_head", "logit", "bias"], 0)
    assert {row["stage"]: (row["taken"], row["new"], row["unused"]) for row in rows} == {
        "stem1": (1, 0, 0),
        "main_head": (0, 1, 1),
        "elsewhere": (0, 0, 1),
    }


@pytest.mark.slow
def test_what_cannot_be_started_from_is_told(trained, tmp_path):
    config, folder = trained
    (tmp_path / "w.pth").write_bytes(b"\x80\x04")
    save_file({"other": np.ones(3, np.float32)}, tmp_path / "w.safetensors")
    for weights, told in (
        (tmp_path / "none", "neither a run folder nor a file"),
        (tmp_path / "w.pth", "a pickle .* is never loaded"),
        (tmp_path / "w.safetensors", "lacks Conv2d_1a_3x3.conv.weight"),
    ):
        with pytest.raises(UserError, match=told):
            begun(changed(config, start__weights=str(weights)), tmp_path)
    with pytest.raises(UserError, match="config.data.normalise is 'film': weights of run"):
        begun(changed(config, start__weights=str(folder), data__normalise="film"), tmp_path)
    assert not (tmp_path / "start.json").exists()


@pytest.mark.slow
def test_a_resumed_run_does_not_start_again(trained, tmp_path, cache_dir):
    config, folder = trained
    shutil.copytree(folder, tmp_path / "first")
    ours = changed(config, start__weights=str(tmp_path / "first"), epochs=1, seed=2)
    train(ours, tmp_path / "second", cache_dir)
    shutil.rmtree(tmp_path / "first")
    train(ours, tmp_path / "second", cache_dir)  # the run is finished, so the first one is not read
    assert read_config(tmp_path / "second").start.weights.endswith("first")


@pytest.fixture
def published_file(tmp_path, monkeypatch):
    """A local file in place of the published one."""
    origin = tmp_path / "origin.h5"
    origin.write_bytes(b"weights")
    monkeypatch.setattr(published, "URL", origin.as_uri())
    monkeypatch.setattr(published, "MD5", hashlib.md5(b"weights").hexdigest())
    return origin


def test_published_weights_are_fetched_once_and_only_if_they_may_be(published_file, tmp_path):
    cache = tmp_path / "cache"
    with pytest.raises(UserError, match="--download fetches it"):
        published.published_weights(cache, download=False)
    path = published.published_weights(cache, download=True)
    assert path.read_bytes() == b"weights" and path.is_relative_to(cache)
    published_file.unlink()
    assert published.published_weights(cache, download=False) == path


def test_published_weights_of_another_hash_are_not_kept(published_file, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "MD5", hashlib.md5(b"others").hexdigest())
    with pytest.raises(UserError, match="could not be fetched: .*hash"):
        published.published_weights(tmp_path / "cache", download=True)
    assert not list((tmp_path / "cache").rglob("*.h5"))


def test_published_weights_that_are_out_of_reach_are_told_with_the_way_round(
    published_file, tmp_path
):
    published_file.unlink()
    with pytest.raises(UserError, match="could not be fetched.*Pass the path"):
        published.published_weights(tmp_path / "cache", download=True)


def test_weights_that_do_not_fit_leave_no_folder_behind(trained, tmp_path, cache_dir):
    config, _ = trained
    for fields in (
        {"start__weights": str(tmp_path / "none.h5")},
        {"finetune__unfreeze_from": "modules/9"},
        {"start__weights": "imagenet"},
    ):
        with pytest.raises(UserError):
            train(changed(config, **fields), tmp_path / "run", cache_dir)
        assert not (tmp_path / "run").exists()
