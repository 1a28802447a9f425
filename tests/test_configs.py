"""Every config loads, every field is read, and a mistyped one is answered."""

import importlib
import inspect
from pathlib import Path

import pytest

from configs import base
from pneumojax.config.flat import differences, flatten
from pneumojax.config.identity import resolve, run_name
from pneumojax.config.load import override  # noqa: F401
from pneumojax.errors import UserError
from pneumojax.inference.network import make_network
from pneumojax.nn.inception import Inception

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(p.stem for p in (ROOT / "configs").glob("*.py") if p.stem != "__init__")


@pytest.mark.parametrize("name", CONFIGS)
def test_config_loads_has_every_field_and_describes_a_network(name):
    module = importlib.import_module(f"configs.{name}")
    config = module.get_config()
    assert config.name == name
    mine, all_fields = flatten(config).keys(), flatten(base.get_config()).keys()
    if config.model.network != base.get_config().model.network:  # its arguments are its own
        mine, all_fields = (
            {key for key in keys if not key.startswith("model.")} for keys in (mine, all_fields)
        )
    assert mine == all_fields
    assert f"python main.py --config=configs/{name}.py" in module.__doc__
    make_network(config)


@pytest.mark.parametrize("field", sorted(flatten(base.get_config())))
def test_every_field_is_read(field):
    if field.startswith("model.") and field not in ("model.network", "model.dtype"):
        assert field.removeprefix("model.") in inspect.signature(Inception.__init__).parameters
        return
    sources = "\n".join(path.read_text() for path in (ROOT / "pneumojax").rglob("*.py"))
    assert f"config.{field}" in sources


def test_another_seed_or_other_data_is_another_run():
    names = set()
    for change in ({}, {"seed": 1}, {"data.root": "/films"}):
        config = base.get_config()
        config.update_from_flattened_dict(change)
        names.add(run_name(config))
    assert len(names) == 3
    assert all(name.startswith("base-") and len(name) == len("base-12345678") for name in names)
    assert run_name(base.get_config()) in names


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
    assert differences(base.get_config(), config) == [
        "model.heads: ['auxiliary'] -> ['main']",
        "seed: 0 -> 3",
    ]


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("--config.batchsize=3", "--config.batch_size"),
        ("--config.data.rot=x", "--config.data.root"),
        ("--config.learning_rate=1", "--config.optimizer.learning_rate"),
        ("--config.datum.root=x", "--config.data.root"),
        ("--config.zzz=1", "configs/base.py lists every field"),
    ],
)
def test_a_mistyped_field_is_answered_with_the_nearest(argument, meant):
    line = unknown_field(["main.py", argument], base.get_config())
    assert argument.split("=")[0] in line and meant in line


def test_fields_that_exist_are_not_complained_of():
    assert unknown_field(["--config.data.root=x", "--config.seed=1"], base.get_config()) is None


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
