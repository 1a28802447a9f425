"""The figures that a study optimises."""

import json

import pytest

from pneumojax.errors import UserError
from pneumojax.tuning.objective import Objective, best_epoch, parse_objectives, values_of

EPOCHS = [
    {"kind": "epoch", "step": 4, "epoch": 1, "val_loss": 0.5, "val_auroc": 0.7},
    {"kind": "epoch", "step": 8, "epoch": 2, "val_loss": 0.4, "val_auroc": 0.8},
    {"kind": "epoch", "step": 12, "epoch": 3, "val_loss": 0.6, "val_auroc": 0.9},
]
EVALUATION = {"auroc": {"value": 0.85}, "calibration": {"calibrated": {"brier": {"value": 0.1}}}}
EVALUATION |= {"prevalence": 0.6, "mcc": {"value": None}}


@pytest.fixture
def run(tmp_path):
    lines = "".join(json.dumps(line) + "\n" for line in EPOCHS)
    (tmp_path / "metrics.jsonl").write_text(lines)
    folder = tmp_path / "evaluation" / "val"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(EVALUATION))
    return tmp_path


def test_a_minus_sign_minimises():
    first, second = parse_objectives("auroc, -val_loss")
    assert (first, second) == (Objective("auroc", True), Objective("val_loss", False))
    assert (str(first), str(second)) == ("auroc", "-val_loss")


@pytest.mark.parametrize("text", ["", "auroc,", "auroc,auroc", "-"])
def test_a_list_without_different_names_is_refused(text):
    with pytest.raises(UserError, match="is not a list of different figures"):
        parse_objectives(text)


@pytest.mark.parametrize(("metric", "epoch"), [("loss", 2), ("auroc", 3), ("last", 3)])
def test_the_best_epoch_is_the_one_whose_checkpoint_is_kept(run, config, metric, epoch):
    with config.unlocked():
        config.checkpoint.best_metric = metric
    assert best_epoch(run, config)["epoch"] == epoch


def test_figures_come_from_the_best_epoch_and_from_the_evaluation(run, config):
    names = "val_auroc,auroc,-calibration.calibrated.brier,prevalence"
    assert values_of(parse_objectives(names), run, config) == [0.8, 0.85, 0.1, 0.6]


@pytest.mark.parametrize("name", ["mcc", "auroc.value.more", "calibration", "val_f1"])
def test_a_figure_that_is_absent_or_undefined_fails_the_trial(run, config, name):
    with pytest.raises(UserError, match=f"no figure '{name}'"):
        values_of(parse_objectives(name), run, config)


def test_a_figure_of_the_evaluation_is_pruned_by_the_epochs_figure_of_its_direction():
    names = [one.by_epoch for one in parse_objectives("auroc,-calibration.calibrated.brier")]
    assert names == ["val_auroc", "val_loss"]
    assert parse_objectives("val_accuracy")[0].by_epoch == "val_accuracy"
