"""The search spaces: what a file may say, the shipped ones, and the configs of trials."""

import pytest

from pneumojax.config.load import load_file
from pneumojax.errors import UserError
from pneumojax.shipped import config_names, space_file, space_names
from pneumojax.tuning.space import Choice, Range, config_with, read_space, record_of, space_of

FILE = """
# a comment
optimizer.learning_rate = { low = 1e-4, high = 1e-2, scale = "log" }
batch_size = { low = 8, high = 32, step = 8 }
model.dropout = { values = [0, 0.5] }
augment.crop_area = { values = [[0.5, 1.0], [1.0, 1.0]] }
"""


@pytest.fixture
def space(tmp_path, config):
    (tmp_path / "space.toml").write_text(FILE)
    return read_space(tmp_path / "space.toml", config)


def test_a_line_is_a_field_with_its_range_or_its_values(space):
    assert space == (
        Choice("augment.crop_area", ([0.5, 1.0], [1.0, 1.0])),
        Range("batch_size", 8, 32, is_whole=True, is_log=False, step=8),
        Choice("model.dropout", (0.0, 0.5)),
        Range("optimizer.learning_rate", 1e-4, 1e-2, is_whole=False, is_log=True, step=None),
    )


def test_a_space_is_the_same_after_it_was_stored(space, config):
    assert space_of(record_of(space), config) == space


def test_a_list_is_text_in_the_storage_and_a_tuple_in_the_config(space, config):
    crop = space[0]
    assert crop.labels == ("[0.5, 1.0]", "[1.0, 1.0]")
    changed = config_with(config, {"augment.crop_area": crop.value_of("[0.5, 1.0]")})
    assert changed.augment.crop_area == (0.5, 1.0) and changed.is_locked
    assert config.augment.crop_area == (1.0, 1.0)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({}, "it names no field"),
        ({"model": {"dropuot": {"low": 0, "high": 1}}}, "no field 'model.dropuot'; did you mean"),
        ({"model": {"dropout": 0.5}}, "model.dropout has neither low and high nor values"),
        ({"model": {"dropout": {"low": 0.5, "high": 0.5}}}, "numbers with low below high"),
        ({"model": {"dropout": {"low": "0", "high": 1}}}, "numbers with low below high"),
        ({"model": {"dropout": {"low": 0, "high": 1, "log": True}}}, "'log' is unknown"),
        ({"model": {"dropout": {"low": 0, "high": 1, "scale": "log"}}}, "log needs low above 0"),
        ({"model": {"dropout": {"values": [0.5]}}}, "two or more values"),
        ({"model": {"dropout": {"values": [0.1, "a"]}}}, "'a' is not of the field's type"),
        ({"model": {"norm": {"low": 0, "high": 1}}}, "model.norm is no number"),
        ({"epochs": {"low": 1, "high": 4, "step": 2}}, "a whole number of steps above low"),
        ({"epochs": {"low": 1, "high": 2.5}}, "epochs takes whole numbers only"),
        ({"data": {"val_fraction": {"low": 0.1, "high": 1.5}}}, "config.data.val_fraction is 1.5"),
        ({"data": {"resize": {"values": ["nearest", "best"]}}}, "config.data.resize is 'best'"),
    ],
)
def test_a_space_that_no_trial_could_use_is_refused_with_its_field(record, told, config):
    with pytest.raises(UserError) as error:
        space_of(record, config)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path, config, refused):
    (tmp_path / "bad.toml").write_text("model.dropout = {")
    assert "bad.toml" in refused(read_space, tmp_path / "bad.toml", config)
    assert "No such file" in refused(read_space, tmp_path / "absent.toml", config)


@pytest.mark.parametrize("name", space_names())
def test_a_shipped_space_fits_the_config_of_its_name(name):
    assert name in config_names()
    config = load_file(name)
    space = read_space(space_file(name), config)
    assert len(space) >= 5
    for field in space:  # the shipped value is one that the search can find
        *groups, leaf = field.field.split(".")
        group = config
        for key in groups:
            group = group[key]
        current = list(group[leaf]) if isinstance(group[leaf], tuple) else group[leaf]
        if isinstance(field, Choice):
            assert current in field.values, field.field
        else:
            assert field.low <= current <= field.high, field.field
