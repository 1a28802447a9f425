"""Config files of the project and of users, overrides, names of runs, and differences."""

import importlib
from pathlib import Path

import pytest

from pneumojax.config.flat import (
    AFTER_TRAINING,
    IN_TRAINING,
    accepted_changes,
    differences,
    flatten,
)
from pneumojax.config.load import earlier_run_name, load_file, override, resolve, run_name
from pneumojax.configs import base
from pneumojax.errors import UserError
from pneumojax.inference.network import make_network

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(p.stem for p in (ROOT / "configs").glob("*.py") if p.stem != "__init__")


@pytest.mark.parametrize("name", CONFIGS)
def test_config_loads_has_every_field_and_describes_a_network(name):
    config = load_file(str(ROOT / "configs" / f"{name}.py"))
    assert config.name == name
    mine, all_fields = flatten(config).keys(), flatten(base.get_config()).keys()
    if config.model.network != base.get_config().model.network:  # its arguments are its own
        mine, all_fields = (
            {key for key in keys if not key.startswith("model.")} for keys in (mine, all_fields)
        )
    assert mine == all_fields
    module = importlib.import_module(f"pneumojax.configs.{name}")
    assert f"python main.py --config=configs/{name}.py" in module.__doc__
    make_network(config)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_shipped_config_is_found_by_its_name_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # such as a folder of runs
    assert load_file(name).to_dict() == load_file(str(ROOT / "configs" / f"{name}.py")).to_dict()


def test_a_file_comes_before_a_shipped_config_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick").write_text(CHANGED % "c.name = 'mine'")
    assert load_file("quick").name == "mine"


def test_an_unknown_name_is_answered_with_the_shipped_configs():
    with pytest.raises(UserError, match="^'qick' is neither a file .* base, .*, quick, ") as told:
        load_file("qick")
    assert told.value.flag == "config"


def changed(**fields):
    config = base.get_config()
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in fields.items()})
    return config


def test_another_seed_or_other_data_is_another_run():
    configs = (changed(), changed(seed=1), changed(data__root="/films"))
    names = {run_name(config) for config in configs}
    assert len(names) == 3
    assert all(name.startswith("base-") and len(name) == len("base-12345678") for name in names)
    assert run_name(base.get_config()) in names


def test_a_new_field_with_its_default_leaves_the_names_of_runs_as_they_are(monkeypatch):
    before = run_name(changed(seed=1))
    older, get_config = earlier_run_name(changed(seed=1)), base.get_config

    def with_a_new_field():
        config = get_config()
        config.loss.new_field = 0.5
        return config

    monkeypatch.setattr(base, "get_config", with_a_new_field)
    config = changed(seed=1)
    assert run_name(config) == before and earlier_run_name(config) != older
    config.loss.new_field = 0.7
    assert run_name(config) != before


# This name was printed by version a96fade, which named a run by all of its fields.
def test_folders_named_by_all_fields_are_still_found():
    assert earlier_run_name(base.get_config()) == "base-23a26f03"


def test_a_relative_root_means_the_same_folder_from_anywhere(monkeypatch, tmp_path):
    config = base.get_config()
    config.data.root = "films"
    monkeypatch.chdir(tmp_path)
    assert resolve(config).data.root == str(tmp_path / "films")
    config.data.root = "synthetic"
    assert resolve(config).data.root == "synthetic"


def test_differences_name_fields_and_both_values():
    config = base.get_config()
    config.seed, config.model.heads = 3, ("main",)
    assert [str(found) for found in differences(base.get_config(), config)] == [
        "model.heads: ['auxiliary'] -> ['main']",
        "seed: 0 -> 3",
    ]


def test_a_run_may_get_more_epochs_logging_and_another_rule_but_nothing_else():
    wanted = changed(epochs=8, log__tensorboard=False, decision__rule="cost")
    found = accepted_changes(base.get_config(), wanted, IN_TRAINING, "runs/a")
    assert [change.field for change in found] == ["decision.rule", "epochs", "log.tensorboard"]
    with pytest.raises(UserError, match=r"another config \(epochs: 5 -> 8; log.tensorboard"):
        accepted_changes(base.get_config(), wanted, AFTER_TRAINING, "runs/a")
    with pytest.raises(UserError, match=r"another config \(seed: 0 -> 1\); name another folder"):
        accepted_changes(base.get_config(), changed(epochs=8, seed=1), IN_TRAINING, "runs/a")
    with pytest.raises(UserError, match=r"epochs: 5 -> 4\); .* more epochs but not fewer"):
        accepted_changes(base.get_config(), changed(epochs=4), IN_TRAINING, "runs/a")


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--config.batchsize=3", "--config.batch_size"),
        ("--config.data.rot=x", "--config.data.root"),
        ("--config.learning_rate=1", "--config.optimizer.learning_rate"),
        ("--config.datum.root=x", "--config.data.root"),
        ("--config.data.val_fractoin=0.2", "Did you mean --config.data.val_fraction?"),
        ("--config.zzz=1", "configs/base.py lists every field"),
    ],
)
def test_a_mistyped_field_is_answered_with_the_nearest(argument, meant):
    with pytest.raises(UserError) as told:
        override(base.get_config(), [argument])
    assert argument.split("=")[0] in str(told.value) and meant in str(told.value)


def test_overrides_have_the_type_of_their_field():
    config = base.get_config()
    line = ["--config.seed=3", "--config.data.balanced", "--noconfig.log.tensorboard"]
    override(config, [*line, "--config.model.stem=(4,4,8)", "--config.start.weights="])
    assert (config.seed, config.data.balanced, config.log.tensorboard) == (3, True, False)
    assert config.model.stem == (4, 4, 8) and config.start.weights == ""
    with pytest.raises(UserError, match="config.epochs"):
        override(config, ["--config.epochs=several"])


@pytest.mark.parametrize(
    "network, told",
    [("pneumojax.nn.inception:Inceptoin", "no attribute"), ("nowhere:Net", "No module"), ("", "")],
)
def test_a_network_that_cannot_be_found_is_named(network, told):
    config = base.get_config()
    config.model.network = network
    with pytest.raises(UserError, match=f"config.model.network is '{network}'.*{told}"):
        make_network(config)


def test_an_argument_that_the_network_does_not_take_is_named():
    config = base.get_config()
    config.model.network = "pneumojax.nn.inception_v3:InceptionV3"
    with pytest.raises(UserError, match="config.model.auxiliary_after: .*V3 takes no such"):
        make_network(config)


CHANGED = """
from ml_collections import ConfigDict
from pneumojax.configs import base

def get_config():
    c = base.get_config()
    %s
    return c
"""
WRONG_CONFIGS = {
    "empty": ("", "it has no function get_config()"),
    "no function": ("get_config = 3", "it has no function get_config()"),
    "not Python": ("def get_config(:", "cannot be loaded: SyntaxError: invalid syntax"),
    "raises": (
        "def get_config():\n    raise KeyError('boom')",
        "cannot be loaded: KeyError: 'boom'",
    ),
    "raises lines": (
        "def get_config():\n    raise ValueError('first\\nlast')",
        "cannot be loaded: ValueError: last",
    ),
    "nothing": ("def get_config():\n    pass", "get_config() returned NoneType"),
    "a dict": ("def get_config():\n    return {'epochs': 1}", "get_config() returned dict"),
    "ends": ("import sys\nsys.exit(0)", "cannot be loaded: it ends the program with sys.exit(0)"),
    "ends later": (
        "def get_config():\n    raise SystemExit('bye')",
        "it ends the program with sys.exit('bye')",
    ),
    "no group": (CHANGED % "del c.data", "config.data is absent"),
    "no field": (CHANGED % "del c.data.root", "config.data.root is absent"),
    "unknown field": (
        CHANGED % "c.data.rooot = ''",
        "there is no field config.data.rooot; config.data.root is the nearest",
    ),
    "unknown argument of our network": (
        CHANGED % "c.model.width = 3",
        "there is no field config.model.width",
    ),
}


@pytest.mark.parametrize("name", WRONG_CONFIGS)
def test_a_config_file_that_is_none_is_one_line_that_names_it(tmp_path, name):
    text, said = WRONG_CONFIGS[name]
    path = tmp_path / "theirs.py"
    path.write_text(text)
    with pytest.raises(UserError) as told:
        load_file(str(path))
    line = str(told.value)
    assert line.startswith(f"{path}: ") and said in line and "\n" not in line


def test_a_config_file_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match="^configs/nope.py: .*No such file"):
        load_file("configs/nope.py")


def test_arguments_of_another_network_are_free(tmp_path):
    path = tmp_path / "theirs.py"
    only = "{'network': 'theirs:Network', 'dtype': 'float32', 'width': 8}"
    path.write_text(CHANGED % f"del c.model; c.model = ConfigDict({only})")
    assert load_file(str(path)).model.width == 8


def test_references_between_fields_of_a_config_file_follow_an_override(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(CHANGED % "c.data.fold = c.get_ref('seed')")
    config = load_file(str(path))
    override(config, ["--config.seed=4"])
    assert config.data.fold == 4
