"""Every field of the config is read: reads are recorded while the program trains and predicts."""

import sys

import numpy as np
import pytest
from ml_collections import ConfigDict

from pneumojax.config.flat import flatten
from pneumojax.configs import base
from pneumojax.data.splits import load_splits
from pneumojax.inference.decision import fit_decision
from pneumojax.predict.predict import predict_files
from pneumojax.training.loop import train

# These modules read all fields only to check, copy, store or compare them.
_DO_NOT_COUNT = ("ml_collections", "pneumojax.config", "pneumojax.run", "pneumojax.evaluation.run")


class Reads:
    """Collects the full names of the fields that the program reads.

    A group is recognised by the object that the config returned for it.
    """

    def __init__(self):
        self.fields = set()
        self._groups = {}  # holding the group keeps its id from being used again

    def record(self, config, name, value):
        prefix = self._groups.get(id(config), (None, ""))[1]
        if isinstance(value, ConfigDict):
            self._groups[id(value)] = value, f"{prefix}{name}."
        else:
            self.fields.add(prefix + name)


@pytest.fixture
def reads(monkeypatch):
    """Records the reads of all configs by PneumoJAX's own code."""
    reads = Reads()

    def recording(read):
        def wrapper(self, name):
            value = read(self, name)
            caller = sys._getframe(1).f_globals["__name__"]
            if caller.startswith("pneumojax.") and not caller.startswith(_DO_NOT_COUNT):
                reads.record(self, name, value)
            return value

        return wrapper

    items = ConfigDict.items

    def recording_items(self):
        for name, value in items(self):
            if sys._getframe(1).f_globals["__name__"].startswith("pneumojax.inference.network"):
                reads.record(self, name, value)
            yield name, value

    for method in ("__getattr__", "__getitem__"):
        monkeypatch.setattr(ConfigDict, method, recording(getattr(ConfigDict, method)))
    monkeypatch.setattr(ConfigDict, "items", recording_items)
    return reads


@pytest.mark.slow
def test_every_field_is_read_by_training_and_prediction(
    reads, config, films_root, cache_dir, tmp_path
):
    with config.unlocked():
        config.update_from_flattened_dict(
            {"data.folds": 3, "data.fold": 1, "early_stopping.patience": 2, "augment.blur": 0.1}
        )
        config.model.heads = ("main", "auxiliary")
    train(config, tmp_path / "a-run", cache_dir)
    film = min((films_root / "test" / "NORMAL").iterdir())
    predict_files([tmp_path / "a-run"], [str(film)], output=str(tmp_path / "p.csv"))
    # These fields are read only under other choices than those above.
    with config.unlocked():
        config.data.folds, config.data.val_fraction = 0, 0.3
    load_splits(config, cache_dir)
    labels, logits = np.array([0, 1, 0, 1]), np.array([-1.0, 1.0, 0.5, 0.2])
    for rule in ("sensitivity", "cost"):
        with config.unlocked():
            config.decision.rule = rule
        fit_decision(config.decision, labels, logits)
    fields = set(flatten(base.get_config()))
    assert sorted(fields - reads.fields) == ["name"]  # only `config.load.run_name` reads it
