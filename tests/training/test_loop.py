"""Training runs in this process: their files, compilations, refusals and resumptions."""

import json
import signal
import sys

import jax
import numpy as np
import pytest

from pneumojax.errors import Stopped, UserError
from pneumojax.inference.network import make_network
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.history import read_history, read_lines
from pneumojax.run.seal import digest
from pneumojax.sharding import make_mesh, placed
from pneumojax.training import calls
from pneumojax.training.loop import Trainer, train
from pneumojax.training.step_monitor import StepMonitor


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return config.lock()


def best_params(workdir, config):
    network = make_network(config)
    return Checkpoints(workdir / "checkpoints").restore_best(
        placed(network.abstract_params, make_mesh())
    )


def test_a_run_compiles_each_step_once_and_writes_each_step_once(finished_run):
    finished = [line for line in finished_run.log if "Finished XLA compilation" in line]
    assert sum("jit(train_step)" in line for line in finished) == 1
    assert sum("jit(on_device)" in line for line in finished) == 1  # validation

    lines = read_lines(finished_run.folder / "metrics.jsonl")
    steps = [line["step"] for line in lines if line["kind"] == "step"]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) == 2 * 4  # 56 films, batch 16
    history = read_history(finished_run.folder)
    assert [line["epoch"] for line in history] == [1, 2]
    assert {"train_accuracy", "val_auroc", "data_wait", "seconds_per_step"} <= history[0].keys()
    out = finished_run.out
    assert "disjoint" in out and "data wait" in out and "compiled in" in out
    assert list((finished_run.folder / "tensorboard").glob("events*"))


def test_a_finished_run_is_left_as_it_is(finished_run, run_copy, cache_dir, capsys):
    before = (run_copy / "metrics.jsonl").read_text()
    train(finished_run.config, run_copy, cache_dir)
    assert "finished: this run has trained 2 of 2 epochs" in capsys.readouterr().out
    assert (run_copy / "metrics.jsonl").read_text() == before


# The end of a process would close its files; this process goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_implicit_transfer_between_steps_is_an_error(config, tmp_path, cache_dir, monkeypatch):
    # Batches that stay on the host would be moved by each call of the compiled step.
    monkeypatch.setattr(calls, "to_devices", lambda batches, mesh, **axis: batches)
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        train(changed(config, log__tensorboard=False), tmp_path / "run", cache_dir)


@pytest.mark.slow
def test_best_by_validation_is_kept_beside_the_latest(config, tmp_path, cache_dir):
    config = changed(config, epochs=4)
    train(config, tmp_path / "run", cache_dir)
    _, meta = best_params(tmp_path / "run", config)
    losses = [line["val_loss"] for line in read_history(tmp_path / "run")]
    assert meta["epoch"] == 1 + int(np.argmin(losses))
    assert meta["figures"]["val_loss"] == min(losses)
    expected = {"config", "preprocessing", "class_names", "films", "versions"}
    assert expected <= meta.keys()
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps("latest")[0] == 16


FINE_TUNING = {"finetune__frozen_epochs": 1, "finetune__backbone_rate": 0.1}


# The end of a process would close its files; this process goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "fields, at",
    [({}, 5), pytest.param(FINE_TUNING, 3, marks=pytest.mark.slow)],
    ids=["plain", "fine-tuning, before the backbone is unfrozen"],
)
def test_an_interrupted_run_goes_on_to_the_same_bits(
    finished_run, config, tmp_path, cache_dir, monkeypatch, fields, at
):
    """The interruption is an exception; `tests/cli/test_commands.py` kills whole processes."""
    config = changed(config, **fields)
    undisturbed_run = finished_run.folder
    if fields:
        undisturbed_run = tmp_path / "undisturbed"
        train(config, undisturbed_run, cache_dir)
    dispatched = StepMonitor.dispatched

    def interrupted(self, call):
        dispatched(self, call)
        if call.numbers[-1] == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StepMonitor, "dispatched", interrupted)
        train(config, tmp_path / "disturbed", cache_dir)
    train(config, tmp_path / "disturbed", cache_dir)
    (first, told), (second, of_second) = (
        best_params(folder, config) for folder in (undisturbed_run, tmp_path / "disturbed")
    )
    assert digest(first) == digest(second)
    assert told["decision"] == of_second["decision"] and told["scope"] == of_second["scope"]
    for name in ("train_loss", "val_loss", "val_auroc"):
        undisturbed, disturbed = (
            [line[name] for line in read_history(folder)]
            for folder in (undisturbed_run, tmp_path / "disturbed")
        )
        assert undisturbed == disturbed


@pytest.mark.slow
def test_a_signal_during_validation_takes_no_further_step(config, tmp_path, cache_dir, monkeypatch):
    def signalled(self, step, epoch, state):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "_end_epoch", signalled)
    with pytest.raises(Stopped) as stopped:
        train(config, tmp_path / "run", cache_dir)
    per_epoch = [line["step"] for line in read_lines(tmp_path / "run/metrics.jsonl")][-1]
    assert str(stopped.value) == f"saved after step {per_epoch} of {2 * per_epoch}"


@pytest.mark.slow
def test_a_training_that_learned_nothing_says_so_at_its_end(config, tmp_path, cache_dir, capsys):
    fields = {"epochs": 2, "optimizer__learning_rate": 1e-12, "log__tensorboard": False}
    train(changed(config, **fields), tmp_path / "run", cache_dir)
    assert capsys.readouterr().out.count("the network has learned nothing") == 1


def numbers(folder):
    """The lines of metrics.jsonl without times."""
    clocks = ("seconds_per_step", "data_wait", "time")
    return [
        {name: value for name, value in line.items() if name not in clocks}
        for line in read_lines(folder / "metrics.jsonl")
    ]


@pytest.mark.slow
def test_resident_films_train_to_the_same_bits_without_tensorflow(
    finished_run, config, tmp_path, cache_dir, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    config = config.copy_and_resolve_references()
    config.data.resident = "replicated"
    train(config.lock(), tmp_path / "run", cache_dir)
    assert "on the devices, replicated" in capsys.readouterr().out
    assert numbers(tmp_path / "run") == numbers(finished_run.folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_streamed_run_that_is_interrupted_ends_with_the_bits_of_the_cached_one(
    finished_run, config, tmp_path, cache_dir, monkeypatch, capsys
):
    cached = finished_run.folder
    streamed = changed(config, data__max_cache_gb=1e-6)
    dispatched = StepMonitor.dispatched

    def interrupted(self, call):
        dispatched(self, call)
        if call.numbers[-1] == 3:  # an epoch has 4 steps, and step 2 was saved
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StepMonitor, "dispatched", interrupted)
        train(streamed, tmp_path / "streamed", cache_dir)
    train(streamed, tmp_path / "streamed", cache_dir)
    assert "films are streamed from shards" in capsys.readouterr().out
    lines = [numbers(folder) for folder in (cached, tmp_path / "streamed")]
    assert lines[0] == lines[1] and len(lines[0]) == 2 * 4 + 2
    (first, told), (second, of_second) = (
        best_params(folder, config) for folder in (cached, tmp_path / "streamed")
    )
    assert digest(first) == digest(second)
    for name in ("films", "decision", "scope"):
        assert told[name] == of_second[name]


@pytest.mark.slow
def test_without_validation_best_is_last(config, tmp_path, cache_dir):
    config = changed(config, data__val_fraction=0.0, epochs=1)
    train(config, tmp_path / "run", cache_dir)
    _, meta = best_params(tmp_path / "run", config)
    assert meta["step"] == 5  # 70 films in batches of 16
    assert "val_loss" not in read_history(tmp_path / "run")[0]


def test_another_config_in_the_folder_is_refused_with_the_difference(config, run_copy, cache_dir):
    with pytest.raises(UserError, match="another config .seed: 0 -> 5"):
        train(changed(config, seed=5), run_copy, cache_dir)


def test_a_folder_with_somebodys_files_is_refused_and_left_alone(config, tmp_path, cache_dir):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files but no run"):
        train(config, tmp_path, cache_dir)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_films_that_changed_since_the_run_began_are_refused(config, run_copy, cache_dir):
    path = run_copy / "provenance.json"
    recorded = json.loads(path.read_text())
    recorded["films"]["train"] = "0" * 16
    path.write_text(json.dumps(recorded))
    with pytest.raises(UserError, match="films have changed since"):
        train(config, run_copy, cache_dir)


@pytest.mark.slow
@pytest.mark.fault
def test_a_loss_that_is_not_finite_stops_with_the_step_and_its_films(config, tmp_path, cache_dir):
    config = changed(config, optimizer__learning_rate=1e30, checkpoint__every_steps=1)
    with pytest.raises(UserError, match=r"step \d .*non_finite.json"):
        train(config, tmp_path / "run", cache_dir)
    report = json.loads((tmp_path / "run" / "non_finite.json").read_text())
    assert report["step"] > 1 and len(report["films"]) == 16
    assert all(name.startswith("train/") for name in report["films"])
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps("latest")[0] < report["step"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "config.epochs is 0"),
        ({"batch_size": 0}, "config.batch_size is 0"),
        ({"checkpoint__best_metric": "auc"}, "best_metric is 'auc'"),
        ({"model__dtype": "float16"}, "config.model.dtype is 'float16'"),
        ({"data__resize": "bicubic"}, "config.data.resize is 'bicubic'"),
        ({"data__val_fraction": 1.5}, "config.data.val_fraction is 1.5"),
        ({"augment__size": 4}, "config.augment.size is 4: too small"),
    ],
)
def test_a_field_out_of_range_is_named_before_anything_is_written(
    config, tmp_path, cache_dir, fields, message
):
    with pytest.raises(UserError, match=message):
        train(changed(config, **fields), tmp_path / "run", cache_dir)
    assert not (tmp_path / "run").exists()
