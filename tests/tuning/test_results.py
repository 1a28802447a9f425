"""The files that a study leaves: the best config, the table of trials and the page."""

import csv
import re

import pytest

from pneumojax.config.flat import flatten
from pneumojax.config.load import load_file, resolve
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.tuning import results
from pneumojax.tuning.page import importances
from pneumojax.tuning.plan import Plan, begin_study
from pneumojax.tuning.results import config_file
from pneumojax.tuning.search import Search, tune
from pneumojax.tuning.space import config_with, space_of
from tests.tuning.conftest import trials_in


@pytest.fixture
def study(trainings, make_plan, tmp_path, monkeypatch):
    """`(page=False, **plan) -> (the plan, the folder of its study with 12 trials and results)`."""

    def make(page=False, **named):
        if not page:  # it takes a second to draw
            monkeypatch.setattr(results, "write_page", lambda *arguments: None)
        plan, folder = make_plan(**named), tmp_path / "study"
        tune(plan, folder, 12, tmp_path / "cache")
        return plan, folder

    return make


def test_the_best_config_is_a_file_that_train_takes(study):
    plan, folder = study()
    _, _, params, _ = max(trials_in(folder), key=lambda trial: trial[3])
    config = load_file(str(folder / "best.py"))
    assert flatten(config) == flatten(config_with(plan.config, params))


def test_the_best_config_of_another_network_has_the_arguments_of_that_network(tmp_path):
    config = resolve(load_file("inception_v3")).lock()
    space = space_of({"model": {"dropout": {"low": 0.0, "high": 0.5}}}, config)
    plan = Plan(config, space, (), "tpe", "sqlite", False)

    class Trial:
        number, values, params = 3, [], {"model.dropout": 0.25}

    (tmp_path / "best.py").write_text(config_file(plan, Trial, "study"))
    written = load_file(str(tmp_path / "best.py"))
    assert flatten(written) == flatten(config_with(config, Trial.params))


@pytest.mark.slow
def test_the_page_needs_no_other_file_and_shows_every_part(study):
    plan, folder = study(page=True, prunes=True)
    page = (folder / "tune.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#|best)', page)
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == ["Best", "History", "Importances", "Slices", "Trials"]
    assert page.count("<svg") == 1 + 1 + len(plan.space)
    assert DISCLAIMER in page and page.count("<tr><td>") == 12


@pytest.mark.slow
def test_several_objectives_have_a_front_and_a_config_for_each_trial_on_it(study):
    _, folder = study(page=True, objectives="val_auroc,-val_loss")
    (best,) = folder.glob("best_*.py")  # the loss of these trainings is best where the AUROC is
    assert best.name in (folder / "tune.html").read_text()
    assert "<h2>Front</h2>" in (folder / "tune.html").read_text()


def test_the_table_has_a_row_for_each_trial_with_its_values_and_reason(study, trainings):
    trainings.fails = (0.0, 0.3)
    _, folder = study()
    rows = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    assert [int(row["trial"]) for row in rows] == list(range(12))
    for row, (_, state, params, values) in zip(rows, trials_in(folder), strict=True):
        assert row["state"] == state.lower()
        assert float(row["model.dropout"]) == params["model.dropout"]
        assert row["val_auroc"] == (repr(values[0]) if values else "")
        assert row["reason"] == ("" if values else "it ran out of luck")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["val_auroc", "-val_loss"])
def test_the_field_that_decides_is_the_most_important_whichever_way_is_better(
    name, make_plan, trainings, tmp_path
):
    plan, folder = make_plan(name, sampler="random"), tmp_path / "study"
    begin_study(folder, plan)
    with Search(plan, folder, tmp_path / "cache", download=False) as search:
        search.run(30)
        shares = importances(search.study(), plan.objectives[0], 0)
    # The range of the learning rate changes the figures by 0.3, that of the dropout by 0.09.
    assert max(shares, key=shares.get) == "optimizer.learning_rate"
