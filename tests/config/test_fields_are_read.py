"""Every field of the config is read, and by the tasks that it concerns: reads are recorded."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from pneumojax.api.load import load
from pneumojax.config.flat import flatten
from pneumojax.configs import base
from pneumojax.data.resident import choose_layout
from pneumojax.data.splits import load_splits
from pneumojax.evaluation.evaluate import evaluate_run
from pneumojax.inference.decision import fit_decision
from pneumojax.profiling.profile import profile
from pneumojax.training.distillation import open_teachers
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

    def during(self, task):
        """The fields that are read while a task runs."""
        self.fields = set()
        task()
        return self.fields


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
            if sys._getframe(1).f_globals["__name__"].startswith("pneumojax.inference.module"):
                reads.record(self, name, value)
            yield name, value

    for method in ("__getattr__", "__getitem__"):
        monkeypatch.setattr(ConfigDict, method, recording(getattr(ConfigDict, method)))
    monkeypatch.setattr(ConfigDict, "items", recording_items)
    return reads


# Training reads these fields for other purposes than its steps, so a profile ignores them.
_NO_PART_OF_A_STEP = {
    *("checkpoint.best_metric", "checkpoint.every_steps", "early_stopping.patience", "epochs"),
    *("decision.rule", "decision.temperature", "log.every_steps", "log.tensorboard"),
    *("log.trackers", "log.tracker_seconds", "start.weights"),
}
# The answers of a network may not depend on these groups, which say how it is trained.
_TRAINING_ALONE = (
    *("augment.", "average.", "checkpoint.", "distill.", "early_stopping.", "log.", "loss."),
    *("optimizer.", "start.", "train."),
)


@pytest.mark.slow
def test_every_task_reads_the_fields_that_concern_it(
    reads, config, films_root, cache_dir, tmp_path
):
    with config.unlocked():
        config.update_from_flattened_dict(
            {"data.folds": 3, "data.fold": 1, "early_stopping.patience": 2, "augment.blur": 0.1}
        )
        config.model.heads = ("main", "auxiliary")
    run, film = tmp_path / "a-run", min((films_root / "test" / "NORMAL").iterdir())
    trained = reads.during(lambda: train(config, run, cache_dir))
    predicted = reads.during(lambda: load(run).predict_files(film, tmp_path / "p.csv"))
    evaluated = reads.during(lambda: evaluate_run([run], cache_dir))
    profiled = reads.during(lambda: profile(config, tmp_path / "profile", cache_dir))

    assert trained - profiled == _NO_PART_OF_A_STEP
    assert predicted <= evaluated
    assert not [field for field in evaluated if field.startswith(_TRAINING_ALONE)]
    with config.unlocked():
        others = reads.during(lambda: _choose_otherwise(config, cache_dir, run))
    # Only `config.load.run_name` and a profile's page read the name.
    assert set(flatten(base.get_config())) - (trained | predicted | others) == {"name"}


def _choose_otherwise(config, cache_dir, run):
    """Reads the fields that are read only under other choices than those of the test."""
    config.distill.teachers = (str(run),)
    open_teachers(config, load_splits(config, cache_dir))
    config.data.folds, config.data.val_fraction = 0, 0.3
    films = load_splits(config, cache_dir).train
    gpu = SimpleNamespace(platform="gpu", memory_stats=lambda: {"bytes_limit": 2**30})
    choose_layout(films, config, SimpleNamespace(size=1, local_devices=(gpu,)))
    labels, logits = np.array([0, 1, 0, 1]), np.array([-1.0, 1.0, 0.5, 0.2])
    for rule in ("sensitivity", "cost"):
        config.decision.rule = rule
        fit_decision(config.decision, labels, logits)
