"""The reference model's recipe out of fold: nothing of a network was fitted on what it scores."""

import numpy as np
import pytest

from pneumojax.configs import base
from pneumojax.data.splits import load_splits
from pneumojax.inference.predictor import Predictor
from pneumojax.stats.calibration import fit_temperature
from tests.support.untrained import make_run
from tools.docs.patient_folds import PARTS, patient_folds
from tools.patient_folds import Part, join_folds, open_folds, record, temperatures_of_others

RNG = np.random.default_rng(0)
LABELS = np.tile([0, 1], 100)
LOGITS = (2 * LABELS - 1 + 2 * RNG.standard_normal(200)).astype(np.float32)
FOLD = np.repeat([0, 1], 100)


def test_the_temperature_of_a_fold_is_that_of_the_other_folds():
    found = temperatures_of_others(LABELS, LOGITS, FOLD)
    assert found == [fit_temperature(LABELS[100:], LOGITS[100:]), fit_temperature(*first_fold())]
    assert found[0] != found[1]


def first_fold():
    return LABELS[:100], LOGITS[:100]


def test_the_record_says_how_much_better_the_network_with_views_ranks_the_films():
    better = LOGITS + LABELS
    parts = {"mean": Part({"a": 1}, LABELS, LOGITS), "views": Part({"b": 2}, LABELS, better)}
    found = record(parts)
    assert found["parts"] == {"mean": {"a": 1}, "views": {"b": 2}}
    assert list(found["auroc_of_views_minus"]) == ["mean"]
    assert found["auroc_of_views_minus"]["mean"]["difference"] > 0


def test_the_table_has_a_column_for_each_part_and_leaves_out_what_a_part_lacks():
    figure = {"value": 0.9, "low": 0.8, "high": 1.0}
    names = ("auroc", "matched_auroc", "specificity", "calibration_error")
    stress = ("stress_mean_auroc", "stress_worst_auroc", "softest_specificity")
    elsewhere = {f"elsewhere_{name}": {"value": 0.75} for name in ("auroc_ap", "auroc_pa", "auroc")}
    part = {
        "out_of_fold": dict.fromkeys(names, figure)
        | {"auroc_by_fold": [0.91, 0.92], "films": 5216, "patients": 3654},
        "protocols": dict.fromkeys(stress, figure),
        "elsewhere": [elsewhere, elsewhere],
    }
    released = {"released": {"sensitivity": figure, "specificity": figure}}
    test = {"difference": 0.0012, "low": 0.0003, "high": 0.0021, "p": 0.0004}
    stored = {
        "parts": dict.fromkeys(PARTS, part) | {"views": part | released},
        "auroc_of_views_minus": dict.fromkeys(("from_scratch", "fine_tuned", "mean"), test),
    }
    lines = patient_folds(stored).splitlines()
    assert "| out of fold, 5,216 films of 3,654 children | from random weights |" in lines[0]
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines[2:]}
    difference = cells["AUROC with further views, minus this one"]
    assert difference[0].strip() == "+0.0012 (+0.0003 to +0.0021), p < 0.001"
    assert difference[-1].strip() == ""
    released_sensitivity = cells["sensitivity at the released threshold"]
    assert [cell.strip() for cell in released_sensitivity] == ["", "", "", "0.900 (0.800 to 1.000)"]
    assert cells["AUROC by fold"][0].strip() == "0.910, 0.920"
    assert {len(line) for line in cells.values()} == {len(PARTS)}


@pytest.mark.slow  # opens four runs and makes four more
def test_a_fold_is_joined_with_the_temperatures_of_the_other_folds(
    films_root, cache_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr("tools.patient_folds.VIEWS", ("flip",))
    validations = {}
    for name, scale in (("weak", 1.0), ("strong", 1.5)):
        for fold in range(2):
            config = base.get_config()
            config.data.root, config.data.image_size = str(films_root), 32
            config.data.folds, config.data.fold = 2, fold
            config.model.stem, config.model.modules = (4, 4, 8), ((4, 4, 4, 2, 4, 4),)
            make_run(tmp_path / name / f"fold-{fold}", config.lock(), cache_dir, scale)
        validations[name] = tmp_path / name
    join_folds(validations, tmp_path / "joined", cache_dir)
    folds, films = open_folds(tmp_path / "joined" / "mean", cache_dir)
    wanted = np.zeros(len(films))
    for workdir in validations.values():
        alone, _ = open_folds(workdir, cache_dir)
        logits, fold = alone.logits(films), alone.of(films)
        temperatures = np.array(temperatures_of_others(films.labels, logits, fold))
        wanted += logits / temperatures[fold] / 2
    np.testing.assert_allclose(folds.logits(films), wanted, rtol=1e-3, atol=1e-5)
    viewed = Predictor.open([tmp_path / "joined" / "views" / "fold-0"])
    assert viewed.first.config.test_time.views == ("flip",)
    held_out = load_splits(viewed.first.config, cache_dir).validation
    assert set(held_out.paths) == {p for p, f in zip(films.paths, fold, strict=True) if f == 0}
