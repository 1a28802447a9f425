"""The checks of a config: the types, sizes and values of its fields."""

import importlib
import json

import pytest

from pneumojax.config import rules
from pneumojax.config.check import check, first_problem
from pneumojax.config.flat import flatten
from pneumojax.decoding import dicom_header, preprocessing
from pneumojax.errors import UserError
from pneumojax.inference.network import VIEWS
from pneumojax.inference.trained_run import open_run
from pneumojax.nn import layers
from pneumojax.run.begin import begin
from pneumojax.run.stored_config import read_config
from pneumojax.shipped import config_names


def stored(name="base"):
    config = importlib.import_module(f"pneumojax.configs.{name}").get_config()
    return json.loads(json.dumps(config.to_dict()))


def put(values, place, value):
    *groups, name = place.split(".")
    for group in groups:
        values = values[group]
    values[name] = value


@pytest.mark.parametrize("name", config_names())
def test_every_shipped_config_passes(name):
    assert first_problem(stored(name)) is None


def test_each_field_refuses_another_type_by_its_name():
    for field in flatten(stored()):
        values = stored()
        put(values, field, [[None]] if field != "model.network" else 3)
        assert first_problem(values).startswith(f"config.{field} is "), field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data.image_size", 4097),
        ("augment.size", 10**6),
        ("batch_size", 0),
        ("batch_size", 10**6),
        ("microbatch_size", 10**6),
        ("data.folds", 10**12),
        ("model.stem", [32, 32, 65_537]),
        ("model.stem", [32, 32]),
        ("model.modules", [[8, 8, 8, 8, 8, 8]] * 1001),
        ("model.modules", [[8, 8, 8, 8, 8]]),
        ("model.modules", [[8, 8, 8, 8, 8, 10**9]]),
        ("model.channels", 10**6),
        ("loss.auxiliary_weights", [0.1] * 10**4),
        ("optimizer.learning_rate", float("nan")),
        ("optimizer.learning_rate", 10**400),
        ("data.max_cache_gb", float("nan")),
        ("epochs", True),
        ("seed", 10**400),
    ],
    ids=lambda value: str(value)[:20],
)
def test_sizes_that_would_take_the_memory_are_refused_by_name(field, value):
    values = stored()
    put(values, field, value)
    told = first_problem(values)
    assert told.startswith(f"config.{field} is ") and len(told) < 250


WRONG = [
    ({"name": "a/b"}, "name"),
    ({"epochs": 0}, "epochs"),
    ({"statistics_over": "device 0"}, "statistics_over"),
    ({"precision": "tf32"}, "precision"),
    ({"data.val": "folders"}, "data.val"),
    ({"data.val_fraction": 1.0}, "data.val_fraction"),
    ({"data.folds": 1}, "data.folds"),
    ({"data.folds": 3, "data.fold": 3}, "data.fold"),
    ({"data.folds": 3, "data.val": "folder"}, "data.folds"),
    ({"data.stratify": "view", "data.val": "folder"}, "data.stratify"),
    ({"data.dicom_metadata": ["PatientName"]}, "data.dicom_metadata"),
    ({"data.dicom_metadata": ["PatientAge", "PatientAge"]}, "data.dicom_metadata"),
    ({"data.resize": "bicubic"}, "data.resize"),
    ({"data.normalise": "z"}, "data.normalise"),
    ({"data.max_cache_gb": -1.0}, "data.max_cache_gb"),
    ({"augment.blur": -1.0}, "augment.blur"),
    ({"augment.downscale": 0.0}, "augment.downscale"),
    ({"augment.crop_area": [0.5, 0.2]}, "augment.crop_area"),
    ({"augment.crop_aspect": [0.0, 1.0]}, "augment.crop_aspect"),
    ({"model.dtype": "float16"}, "model.dtype"),
    ({"loss.label_smoothing": 1.0}, "loss.label_smoothing"),
    ({"loss.focal_gamma": -1.0}, "loss.focal_gamma"),
    ({"loss.auxiliary_weights": [0.4, -1.0]}, "loss.auxiliary_weights"),
    ({"optimizer.schedule": "step"}, "optimizer.schedule"),
    ({"optimizer.weight_decay": -1.0}, "optimizer.weight_decay"),
    ({"optimizer.clip_norm": -1.0}, "optimizer.clip_norm"),
    ({"optimizer.warmup_epochs": 5.0}, "optimizer.warmup_epochs"),
    ({"finetune.frozen_epochs": 6}, "finetune.frozen_epochs"),
    ({"finetune.backbone_rate": -1.0}, "finetune.backbone_rate"),
    ({"average.decay": 1.0}, "average.decay"),
    ({"early_stopping.patience": -1}, "early_stopping.patience"),
    (
        {"early_stopping.patience": 1, "checkpoint.best_metric": "last"},
        "early_stopping.patience",
    ),
    ({"test_time.views": ["upside_down"]}, "test_time.views"),
    ({"test_time.views": ["flip", "flip"]}, "test_time.views"),
    ({"checkpoint.best_metric": "accuracy"}, "checkpoint.best_metric"),
    ({"decision.rule": "coin"}, "decision.rule"),
    ({"decision.min_sensitivity": 0.0}, "decision.min_sensitivity"),
    ({"decision.min_sensitivity": 1.5}, "decision.min_sensitivity"),
    ({"decision.cost_ratio": 0.0}, "decision.cost_ratio"),
    ({"decision.rule": "best"}, "decision.rule"),
]


@pytest.mark.parametrize(("fields", "named"), WRONG, ids=lambda value: str(value)[:40])
def test_a_value_out_of_range_is_named_with_what_it_must_be(fields, named):
    values = stored()
    for field, value in fields.items():
        put(values, field, value)
    told = first_problem(values)
    assert told.startswith(f"config.{named} is ") and ": " in told and "\n" not in told
    with pytest.raises(UserError):
        check(values)


def test_the_names_that_a_config_may_use_are_those_of_the_code_that_reads_them():
    assert set(rules.VIEWS) == set(VIEWS)
    assert set(rules.RESIZES) == set(preprocessing.RESIZES)
    assert set(rules.DICOM_METADATA) == set(dicom_header.COLUMNS)
    assert set(rules.NORMALISATIONS) == set(layers.NORMALISATIONS)


def test_a_batch_whose_pixels_would_take_the_memory_is_refused():
    values = stored()
    values["batch_size"], values["data"]["image_size"] = 65_536, 4096
    assert "1,073,741,824 pixels" in first_problem(values)


def test_a_whole_number_may_stand_for_one_with_a_fraction():
    values = stored()
    values["optimizer"]["learning_rate"], values["augment"]["crop_area"] = 1, [1, 1]
    assert first_problem(values) is None


def test_arguments_of_another_network_are_its_own():
    values = stored()
    values["model"] = {"network": "theirs:Network", "width": [10**9], "modules": None}
    assert first_problem(values) is None


@pytest.mark.parametrize("value", [10**6, "32", 32.5, None])
def test_a_run_folder_with_such_a_config_is_one_line(tmp_path, config, value):
    folder = tmp_path / "a-run"
    begin(folder, config)
    values = json.loads((folder / "config.json").read_text())
    values["data"]["image_size"] = value
    (folder / "config.json").write_text(json.dumps(values))
    line = "config.json' cannot be used: config.data.image_size is"
    with pytest.raises(UserError, match=line) as told:
        open_run(folder)
    assert "\n" not in str(told.value)


def test_a_network_too_large_for_the_memory_is_refused_before_its_arrays_are_read(tmp_path, config):
    folder = tmp_path / "a-run"
    begin(folder, config)
    values = json.loads((folder / "config.json").read_text())
    values["model"]["stem"] = [65_536, 65_536, 65_536]
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="parameters, but at most 1,073,741,824"):
        open_run(folder)


def test_a_config_nested_without_end_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text('{"a":' * 100_000)
    with pytest.raises(UserError, match="config.json' is damaged"):
        read_config(tmp_path)


def test_training_does_not_begin_what_could_not_be_opened_again(tmp_path, config):
    with config.unlocked():
        config.data.image_size = 5000
    with pytest.raises(UserError, match="config.data.image_size is 5000"):
        begin(tmp_path / "a-run", config)
    assert not (tmp_path / "a-run").exists()
