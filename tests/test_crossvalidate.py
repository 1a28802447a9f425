"""Cross-validations and ensembles through the real commands' functions."""

import contextlib
import csv
import io
import json
import shutil

import numpy as np
import pytest

from pneumojax import crossvalidate
from pneumojax.crossvalidate import cross_validate
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.data.naming import KERMANY
from pneumojax.data.table_writing import Styles, write_table
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.evaluation.evaluate import evaluate_run
from pneumojax.evaluation.films import FilmChoice
from pneumojax.inference.decision import Decision
from pneumojax.inference.predictor import Predictor
from pneumojax.run.film_list import read_films

pytestmark = pytest.mark.slow  # trains and audits several networks


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return config.lock()


def rows_of(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def folds(films_root, cache_dir, tmp_path_factory):
    """The config, the folder and the result of a cross-validation with two small folds."""
    from pneumojax.configs import base

    config = changed(
        base.get_config(),
        data__root=str(films_root),
        data__image_size=32,
        data__folds=2,
        model__stem=(4, 4, 8),
        model__modules=((4, 4, 4, 2, 4, 4),),
        batch_size=16,
        epochs=1,
        log__tensorboard=False,
    )
    folder = tmp_path_factory.mktemp("cross") / "validation"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = cross_validate(config, folder, cache_dir)
    (folder.parent / "printed.txt").write_text(printed.getvalue())
    return config, folder, result


def test_every_film_is_scored_once_by_the_network_that_did_not_see_it(folds):
    _, folder, result = folds
    rows = {row["file"]: row for row in rows_of(folder / "out_of_fold" / "predictions.csv")}
    held_out = []
    for fold in range(2):
        alone = rows_of(folder / f"fold-{fold}" / "evaluation" / "val" / "predictions.csv")
        own = json.loads((folder / f"fold-{fold}/evaluation/val/metrics.json").read_text())
        pool = Decision(**result["decision"])
        for row in alone:
            logit = np.log(float(row["probability"])) - np.log1p(-float(row["probability"]))
            logit *= own["decision"]["temperature"]
            expected = pool.probabilities(logit)
            assert float(rows[row["file"]]["probability"]) == pytest.approx(expected, abs=1e-4)
        held_out += [row["file"] for row in alone]
    assert (
        sorted(held_out) == sorted(rows) == sorted(r["file"] for r in read_films(folder / "fold-0"))
    )
    areas = ", ".join(f"{area:.3f}" for area in result["out_of_fold"]["auroc_by_fold"])
    assert areas.count(",") == 1
    assert f"AUROC by fold: {areas}" in (folder.parent / "printed.txt").read_text()
    assert json.loads((folder / "out_of_fold" / "decision.json").read_text()) == result["decision"]
    assert result["decision"]["films"] == len(rows)
    page = (folder / "out_of_fold" / "report.html").read_text()
    assert "2 networks were trained by one recipe" in page
    assert "How stable the threshold is" in page


def test_finished_folds_are_not_trained_or_evaluated_again(folds, cache_dir, monkeypatch, capsys):
    config, folder, _ = folds
    monkeypatch.setattr(crossvalidate, "evaluate_trained", None)  # calling it would raise
    monkeypatch.setattr(crossvalidate, "evaluate_out_of_fold", lambda folds, *more: folds)
    assert len(cross_validate(config, folder, cache_dir).members) == 2
    assert capsys.readouterr().out.count("finished: this run has trained 1 of 1 epochs") == 2


def test_an_ensemble_answers_with_the_mean_of_probabilities(folds, films_root, cache_dir):
    _, folder, _ = folds
    result = evaluate_run([folder], cache_dir, FilmChoice("train", str(films_root)))
    predictor = Predictor.open([folder])
    name = f"train-of-{films_root.name}-"
    (own,) = (folder / "evaluation").glob(f"{name}*")
    rows = {row["file"]: row for row in rows_of(own / "predictions.csv")}
    films = load_split(
        find_films(films_root),
        "train",
        Preprocessing(**predictor.first.meta["preprocessing"]),
        FilmCache(cache_dir),
        max_rejected_fraction=0,
    )
    logits = predictor.in_batches_of(16).logits(films)
    scored = [d.probabilities(z) for d, z in zip(predictor.decisions, logits, strict=True)]
    each = dict(zip(films.paths, np.transpose(scored), strict=True))
    for file, row in rows.items():
        assert float(row["probability"]) == pytest.approx(np.mean(each[file]), abs=1e-4)
        assert float(row["deviation"]) == pytest.approx(np.std(each[file]), abs=1e-4)
        assert float(row["lowest"]) == pytest.approx(min(each[file]), abs=1e-4)
        assert float(row["highest"]) == pytest.approx(max(each[file]), abs=1e-4)
    assert result["members"] == ["fold-0", "fold-1"]
    assert result["decision"]["rule"] == "out of fold"
    every_file = {row["sha256"] for row in read_films(predictor.workdirs[0])}
    assert result["audit"]["shared_files"] == len(every_file)


def test_an_ensemble_is_not_validated_on_films_that_a_member_was_trained_on(folds, cache_dir):
    _, folder, _ = folds
    with pytest.raises(UserError, match="each was trained on films that another is validated on"):
        evaluate_run([folder / "fold-0", folder / "fold-1"], cache_dir)


def test_one_member_answers_for_itself(folds):
    _, folder, _ = folds
    predictor = Predictor.open([folder / "fold-0"])
    logits = np.array([[-2.0, 0.5]], np.float32)
    together, spread = predictor.combine(logits)
    np.testing.assert_array_equal(together, logits[0])
    assert spread is None and predictor.decision == predictor.first.decision


def test_runs_that_cannot_form_an_ensemble_are_refused(folds, config, tmp_path, cache_dir):
    from pneumojax.training.loop import train

    _, folder, _ = folds
    other = changed(config, epochs=1, data__image_size=40, log__tensorboard=False)
    train(other, tmp_path / "other", cache_dir)
    with pytest.raises(UserError, match="differ in preprocessing"):
        Predictor.open([folder / "fold-0", tmp_path / "other"])
    with pytest.raises(UserError, match="named twice"):
        Predictor.open([folder / "fold-0", folder / "fold-0"])
    (tmp_path / "half" / "fold-0").mkdir(parents=True)
    (tmp_path / "half" / "fold-0" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="is not finished"):
        Predictor.open([tmp_path / "half"])


def test_a_missing_fold_is_reported_and_another_folder_is_not_taken_for_a_fold(folds, tmp_path):
    _, folder, _ = folds
    shutil.copytree(folder, tmp_path / "cross")
    shutil.copytree(folder / "fold-1", tmp_path / "cross" / "fold-1-old")
    assert [path.name for path in Predictor.open([tmp_path / "cross"]).workdirs] == [
        "fold-0",
        "fold-1",
    ]
    shutil.rmtree(tmp_path / "cross" / "fold-0")
    with pytest.raises(UserError, match="of the 2 folds of .* there are only fold-1"):
        Predictor.open([tmp_path / "cross"])


def test_a_config_without_folds_is_refused(config, tmp_path, cache_dir):
    with pytest.raises(UserError, match="config.data.folds is 0"):
        cross_validate(config, tmp_path / "run", cache_dir)
    assert not (tmp_path / "run").exists()


def test_a_cross_validation_by_style_forecasts_how_a_threshold_travels(
    folds, films_root, cache_dir, tmp_path
):
    config, by_patient, _ = folds
    write_table(films_root, tmp_path / "films.csv", KERMANY, Styles(2, FilmCache(cache_dir)))
    fields = {"data__table": str(tmp_path / "films.csv"), "data__fold_by": "style"}
    cross_validate(changed(config, **fields), tmp_path / "styles", cache_dir)
    record = json.loads((tmp_path / "styles" / "out_of_fold" / "forecast.json").read_text())
    assert [group["name"] for group in record["groups"]] == ["style 1", "style 2"]
    assert sum(group["films"] for group in record["groups"]) == 70
    assert not (by_patient / "out_of_fold" / "forecast.json").exists()
