"""The start of a run, and the changes that its config allows afterwards."""

import json

import jax.numpy as jnp
import pytest

from pneumojax.config.flat import AFTER_TRAINING, IN_TRAINING
from pneumojax.errors import UserError
from pneumojax.inference.decision import Decision
from pneumojax.run.agreement import DECISION_FIELDS, current_decision, write_decision
from pneumojax.run.begin import begin, read_changes, take_changes
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.stored_config import read_config


def changed(config, **fields):
    config = config.copy_and_resolve_references().unlock()
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in fields.items()})
    return config.lock()


@pytest.fixture
def begun(config, tmp_path):
    """A run folder after one epoch of ten steps."""
    folder = tmp_path / "a-run"
    begin(folder, config)
    items = {"params": {"layer": jnp.ones(3)}, "training": {"step": jnp.int32(10)}}
    Checkpoints(folder / "checkpoints").save_latest(10, items, {"epoch": 1})
    return folder


def test_an_extended_run_records_from_which_epoch_and_schedule(begun, config, capsys):
    begin(begun, changed(config, epochs=8, log__every_steps=2), IN_TRAINING)
    assert read_config(begun).epochs == 8
    (entry,) = read_changes(begun)
    assert (entry["after_epoch"], entry["after_step"], entry["schedule"]) == (1, 10, "constant")
    assert entry["fields"] == [
        {"field": "epochs", "before": 2, "after": 8},
        {"field": "log.every_steps", "before": 1, "after": 2},
    ]
    assert "changed after epoch 1: epochs: 2 -> 8" in capsys.readouterr().out
    begin(begun, changed(config, epochs=9, log__every_steps=2), IN_TRAINING)
    assert [e["fields"][0]["after"] for e in read_changes(begun)] == [8, 9]


def test_the_same_config_changes_and_records_nothing(begun, config):
    before = (begun / "config.json").read_bytes()
    begin(begun, config, IN_TRAINING)
    assert (begun / "config.json").read_bytes() == before and read_changes(begun) == []


def test_a_change_that_was_recorded_before_a_kill_is_recorded_once(begun, config):
    wanted = changed(config, epochs=8)
    stored = (begun / "config.json").read_text()
    begin(begun, wanted, IN_TRAINING)
    (begun / "config.json").write_text(stored)  # as a kill in between leaves it
    begin(begun, wanted, IN_TRAINING)
    assert len(read_changes(begun)) == 1 and read_config(begun).epochs == 8


def test_a_field_that_decides_the_steps_is_refused_alone(begun, config):
    wanted = changed(config, epochs=8, optimizer__learning_rate=0.5)
    with pytest.raises(UserError, match=r"\(optimizer.learning_rate: 0.001 -> 0.5\)"):
        begin(begun, wanted, IN_TRAINING)
    assert read_config(begun).epochs == 2 and read_changes(begun) == []


def test_without_leave_to_change_anything_a_run_stays_as_it_is(begun, config):
    with pytest.raises(UserError, match="epochs: 2 -> 8"):
        begin(begun, changed(config, epochs=8))


def test_a_config_read_back_has_the_types_of_its_file(config, tmp_path):
    begin(tmp_path / "a-run", config)
    assert read_config(tmp_path / "a-run").to_dict() == config.to_dict()


def test_a_damaged_list_of_changes_is_one_line(begun):
    (begun / "changes.json").write_text('{"changes": 3}')
    with pytest.raises(UserError, match="changes.json' cannot be used: changes is 3"):
        read_changes(begun)


def test_a_record_of_a_decision_has_the_fields_of_a_decision():
    assert Decision._fields == DECISION_FIELDS


DECISION = {"rule": "youden", "temperature": 1.5, "threshold": 0.4, "films": 9, "note": ""}


def test_a_decision_holds_until_its_rule_changes_and_is_fitted_again(begun, config):
    meta = {"config": config.to_dict(), "decision": DECISION, "digests": {"params": "0a"}}
    assert current_decision(begun, config, meta) == DECISION
    wanted = changed(config, decision__rule="sensitivity")
    take_changes(begun, wanted, AFTER_TRAINING)
    assert current_decision(begun, wanted, meta) is None
    fitted = DECISION | {"rule": "sensitivity", "threshold": 0.2}
    write_decision(begun, wanted, meta, fitted)
    assert current_decision(begun, wanted, meta) == fitted
    other = meta | {"digests": {"params": "0b"}}  # the parameters of a later, better epoch
    assert current_decision(begun, wanted, other) is None
    assert current_decision(begun, config, meta) == DECISION


def test_a_damaged_decision_is_one_line(begun, config):
    meta = {"config": config.to_dict(), "decision": DECISION, "digests": {"params": "0a"}}
    wanted = changed(config, decision__rule="cost")
    record = {"rule": {}, "params": "0a", "decision": DECISION | {"threshold": 2}}
    (begun / "decision.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="decision.json' cannot be used: decision.threshold is 2"):
        current_decision(begun, wanted, meta)
