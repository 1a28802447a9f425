"""A study whose trials are trained in no time, so that the search itself can be tried often."""

import json
import math
from pathlib import Path

import pytest

from pneumojax.errors import UserError
from pneumojax.run.begin import begin
from pneumojax.run.stored_config import completed
from pneumojax.tuning import search
from pneumojax.tuning.objective import parse_objectives
from pneumojax.tuning.plan import Plan
from pneumojax.tuning.space import space_of
from pneumojax.tuning.storage import close_storage

SPACE = {
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
    "model.dropout": {"low": 0.0, "high": 0.9},
    "data.normalise": {"values": ["unit", "film"]},
}


class InstantTrainings:
    """Takes the place of `TrialProcess`: writes the history of a run by a formula.

    The validation AUROC is best at a learning rate of 0.01 and without dropout. A dropout in
    `fails` fails.
    """

    fails = (2.0, 2.0)

    def __init__(self):
        self.answer, self.begun = None, []

    def begin(self, task):
        self.begun.append(task.run.name)
        config = completed(task.config)
        begin(task.run, config)
        distance = abs(math.log10(config.optimizer.learning_rate) + 2) / 2
        best = 0.95 - 0.2 * distance - 0.1 * config.model.dropout
        lines = [
            {
                "kind": "epoch",
                "step": epoch,
                "epoch": epoch,
                "val_loss": 1 - best + 0.1 / epoch,
                "val_auroc": best - 0.1 / epoch,
            }
            for epoch in range(1, config.epochs + 1)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (task.run / "metrics.jsonl").write_text(text)
        low, high = self.fails
        self.answer = "it ran out of luck" if low <= config.model.dropout <= high else ""

    def wait(self, seconds):
        return True

    def stop(self):
        pass

    def close(self):
        pass


@pytest.fixture
def trainings(monkeypatch):
    """The class that replaces the process; all its objects are in `made`."""

    class Recorded(InstantTrainings):
        made = []

        def __init__(self):
            super().__init__()
            self.made.append(self)

    monkeypatch.setattr(search, "TrialProcess", Recorded)
    return Recorded


@pytest.fixture
def make_plan(config):
    """`(objectives="val_auroc", sampler="tpe", storage="journal", prunes=False) -> Plan`."""

    def make(objectives="val_auroc", sampler="tpe", storage="journal", prunes=False):
        space, parsed = space_of(SPACE, config), parse_objectives(objectives)
        return Plan(config, space, parsed, sampler, storage, prunes)

    return make


@pytest.fixture
def refused():
    """`(function, *arguments) -> the one line of the UserError that it raises`."""

    def line_of(function, *arguments):
        with pytest.raises(UserError) as error:
            function(*arguments)
        assert "\n" not in str(error.value)
        return str(error.value)

    return line_of


def trials_in(folder: Path):
    """(number, state, params, values) of every trial, as Optuna itself reads them."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    journal = folder / "study.journal"
    if journal.exists():
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    else:
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    study = optuna.load_study(study_name="tune", storage=storage)
    found = [(t.number, t.state.name, t.params, t.values) for t in study.trials]
    close_storage(storage)
    return found
