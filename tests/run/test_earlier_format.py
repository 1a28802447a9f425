"""Checkpoints of versions that had no seal; the tests write them with Orbax directly."""

import json

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint.checkpoint_managers import LatestN

from pneumojax.data.splits import preprocessing_of
from pneumojax.errors import UserError
from pneumojax.inference.decision import Decision
from pneumojax.inference.predictor import Predictor
from pneumojax.inference.trained_run import open_run
from pneumojax.run.begin import begin
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.history import read_history
from pneumojax.run.provenance import read_provenance, versions
from pneumojax.run.seal import digest, layout
from pneumojax.sharding import make_mesh, placed
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import TrainState, initial_state


def save(folder, step, items, meta):
    """Saves a checkpoint as versions before format 2 did, without a format and a seal."""
    meta = meta | {
        "step": step,
        "digests": {name: digest(tree) for name, tree in items.items()},
        "layout": layout(items),
    }
    options = ocp.CheckpointManagerOptions(
        preservation_policy=LatestN(2), enable_async_checkpointing=False
    )
    with ocp.CheckpointManager(folder, options=options) as manager:
        saved = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        manager.save(step, args=ocp.args.Composite(**saved, meta=ocp.args.JsonSave(meta)))


@pytest.fixture
def earlier(tmp_path, config):
    """A run folder whose latest and best checkpoints have no seal, and the state in both."""
    folder = tmp_path / "a-run"
    begin(folder, config)
    initialise = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))
    state = initialise()
    meta = {
        "config": config.to_dict(),
        "preprocessing": preprocessing_of(config).as_dict(),
        "class_names": ["NORMAL", "PNEUMONIA"],
        "films": {"train": "0a", "validation": "0b"},
        "synthetic": False,
        "decision": Decision("youden", 2.0, 0.42, 10, "")._asdict(),
        "scope": None,
        "versions": versions(),
        "epoch": 1,
    }
    training = {
        "step": state.step,
        "optimizer": state.optimizer,
        "epoch_sums": {
            name: getattr(state.epoch_sums, name) for name in ("loss", "correct", "films")
        },
    }
    items = {"params": state.params, "training": training}
    save(folder / "checkpoints" / "latest", 0, items, meta | {"best": {"val_loss": 0.3}})
    save(folder / "checkpoints" / "best", 0, {"params": state.params}, meta)
    return folder, state


def test_a_state_of_before_the_seal_is_resumed_exactly(earlier, capsys):
    folder, state = earlier
    checkpoints = Checkpoints(folder / "checkpoints")
    abstract = placed(jax.eval_shape(lambda: state), make_mesh())
    restored, meta = checkpoints.restore_latest(abstract.to_items())
    jax.tree.map(np.testing.assert_array_equal, TrainState.from_items(restored), state)
    assert meta["best"] == {"val_loss": 0.3}
    assert capsys.readouterr().out.count("written by an earlier version") == 1


def test_it_is_evaluated_at_its_own_threshold_with_one_line(earlier, capsys):
    folder, state = earlier
    trained = open_run(folder)
    jax.tree.map(np.testing.assert_array_equal, trained.params, state.params)
    assert trained.decision.threshold == 0.42
    assert capsys.readouterr().out.count("written by an earlier version") == 1


WRONG = [("threshold", 2), ("temperature", 0), ("rule", 3), ("films", None), ("more", 1)]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_common_decision_names_its_file_and_field(tmp_path, config, name, value):
    with config.unlocked():
        config.data.folds = 2
    for fold in range(2):
        begin(tmp_path / f"fold-{fold}", config)
    decision = Decision("youden", 1.0, 0.5, 9, "")._asdict() | {name: value}
    (tmp_path / "out_of_fold").mkdir()
    (tmp_path / "out_of_fold" / "decision.json").write_text(json.dumps(decision))
    with pytest.raises(UserError, match=f"decision.json' cannot be used: .*{name}"):
        Predictor.open([tmp_path])


@pytest.mark.parametrize("text", ["[]", "{", '{"films": 3}', '{"films": {"train": 1}}', "\xff"])
def test_a_provenance_that_is_none_names_its_file(tmp_path, text):
    (tmp_path / "provenance.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="provenance.json' (is damaged|cannot be used)"):
        read_provenance(tmp_path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"kind": "epoch", "epoch": 1, "val_loss": "low"}, "val_loss is 'low'"),
        ({"kind": "epoch", "epoch": "last"}, "epoch is 'last'"),
        ({"kind": "epoch", "val_loss": 0.3}, "epoch is absent"),
        ([1], "metrics of a run"),
    ],
)
def test_metrics_of_another_type_name_their_file_and_field(tmp_path, line, told):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match="metrics.jsonl.*" + told):
        read_history(tmp_path)
