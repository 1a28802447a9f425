import csv
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import classification_report, roc_auc_score
from sklearn.metrics import log_loss as reference_log_loss

from pneumojax.errors import UserError
from pneumojax.evaluation import plots, report
from pneumojax.evaluation.report import DISCLAIMER, Predictions, evaluate
from pneumojax.evaluation.report import write_evaluation as write
from pneumojax.evaluation.table import print_table

HISTORY = [
    {"epoch": i, "train_loss": 1 / i, "train_accuracy": 0.8, "val_loss": 1 / i, "val_accuracy": 0.7}
    for i in (1, 2, 3)
]


def _predictions(n: int = 90, films_each: int = 3, seed: int = 0) -> Predictions:
    rng = np.random.default_rng([seed])
    labels = (np.arange(n) // films_each % 3 > 0).astype(int)
    kinds = np.where(np.arange(n) // films_each % 2 == 0, "bacteria", "virus")
    return Predictions(
        files=[f"test/film, {i}.jpeg" for i in range(n)],
        patients=[f"person{i // films_each}" for i in range(n)],
        pathogens=[
            str(kind) if label else "none" for label, kind in zip(labels, kinds, strict=True)
        ],
        labels=labels,
        logits=(rng.normal(size=n) + 1.5 * labels - 0.5).astype(np.float32),
    )


def _one_class(label: int) -> Predictions:
    logits = np.array([-1, 1, 2], np.float32)
    return Predictions(["a", "b", "c"], ["p", "q", "r"], ["none"] * 3, np.full(3, label), logits)


def test_the_figures_equal_sklearns():
    predictions = _predictions()
    result = evaluate(predictions)
    calls = predictions.probabilities >= 0.5
    names = ["NORMAL", "PNEUMONIA"]
    theirs = classification_report(predictions.labels, calls, target_names=names, output_dict=True)
    for name, ours in [*result["per_class"].items(), ("weighted avg", result["weighted"])]:
        assert ours["precision"]["value"] == pytest.approx(theirs[name]["precision"])
        assert ours["recall"]["value"] == pytest.approx(theirs[name]["recall"])
        assert ours["f1"]["value"] == pytest.approx(theirs[name]["f1-score"])
    assert result["sensitivity"]["value"] == pytest.approx(theirs["PNEUMONIA"]["recall"])
    assert result["specificity"]["value"] == pytest.approx(theirs["NORMAL"]["recall"])
    assert result["accuracy"]["value"] == pytest.approx(theirs["accuracy"])
    assert result["balanced_accuracy"]["value"] == pytest.approx(theirs["macro avg"]["recall"])
    assert result["auroc"]["value"] == pytest.approx(
        roc_auc_score(predictions.labels, predictions.logits)
    )
    assert result["log_loss"] == pytest.approx(
        reference_log_loss(predictions.labels, predictions.probabilities)
    )
    assert result["n"] == sum(result["confusion"].values()) == 90
    assert (result["patients"], result["patients_known"]) == (30, True)
    assert result["prevalence"] == pytest.approx(2 / 3)


def _figures(value: object) -> list[dict]:
    if not isinstance(value, dict):
        return []
    own = [value] if "method" in value else []
    return own + [figure for item in value.values() for figure in _figures(item)]


def test_every_figure_lies_in_its_interval_and_names_its_method():
    result = evaluate(_predictions())
    figures = _figures(result)
    assert len(figures) == 5 + 6 + 3 + 2
    for figure in figures:
        assert 0 <= figure["low"] < figure["value"] < figure["high"] <= 1
    assert result["auroc"]["method"] == "delong"
    assert result["sensitivity"]["method"] == result["accuracy"]["method"] == "wilson"
    assert result["weighted"]["f1"]["method"] == "patient bootstrap"
    assert result["bootstrap"]["unit"] == "patient"


def test_sensitivity_is_told_by_pathogen_where_that_is_known():
    predictions = _predictions(seed=2)
    result = evaluate(predictions)["sensitivity_by_pathogen"]
    assert list(result) == ["bacteria", "virus"]
    assert result["bacteria"]["value"] != result["virus"]["value"]
    kinds = np.array(predictions.pathogens)
    for kind, figure in result.items():
        calls = predictions.probabilities[kinds == kind] >= 0.5
        assert figure["value"] == pytest.approx(calls.mean())
    unknown = evaluate(_one_class(1))
    assert unknown["sensitivity_by_pathogen"] == {}


def test_unknown_patients_are_neither_counted_nor_drawn():
    predictions = _predictions()
    result = evaluate(predictions, patients_known=False)
    assert (result["patients"], result["patients_known"]) == (None, False)
    assert result["weighted"]["f1"]["method"] == "film bootstrap"
    assert result["bootstrap"]["unit"] == "film"
    known = evaluate(predictions)["bootstrap"]["intervals"]
    for name, drawn in result["bootstrap"]["intervals"].items():
        assert drawn != known[name]


def test_the_threshold_moves_the_calls_but_not_the_auroc():
    low, high = (evaluate(_predictions(), threshold=t) for t in (0.2, 0.8))
    assert low["sensitivity"]["value"] > high["sensitivity"]["value"]
    assert low["specificity"]["value"] < high["specificity"]["value"]
    assert low["auroc"] == high["auroc"]


def test_the_seed_moves_the_resampled_intervals_only():
    first, again, other = (evaluate(_predictions(), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["weighted"]["f1"]["low"] != other["weighted"]["f1"]["low"]
    assert first["weighted"]["f1"]["value"] == other["weighted"]["f1"]["value"]
    assert first["sensitivity"] == other["sensitivity"]


def test_far_off_logits_are_ranked_though_their_probabilities_are_equal():
    logits = np.array([40, 50, 60, 70], np.float32)
    predictions = Predictions(list("abcd"), list("abcd"), [""] * 4, np.array([0, 0, 1, 1]), logits)
    assert set(predictions.probabilities) == {1.0}
    assert evaluate(predictions)["auroc"]["value"] == 1


def test_probabilities_neither_overflow_nor_lose_small_values():
    logits = np.array([-200, -80, 0, 80], np.float32)
    predictions = Predictions([], [], [], np.zeros(4, int), logits)
    expected = [math.exp(-200), math.exp(-80), 0.5, 1.0]
    np.testing.assert_allclose(predictions.probabilities, expected, rtol=1e-12)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_is_reported_with_none_for_what_is_undefined(label, tmp_path, capsys):
    result = write(tmp_path, _one_class(label), {}, [])
    assert result["auroc"] == {"value": None, "low": None, "high": None, "method": "delong"}
    assert result["specificity" if label else "sensitivity"]["value"] is None
    assert result["accuracy"]["value"] == pytest.approx(2 / 3 if label else 1 / 3)
    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    print_table(result)
    assert "undefined" in capsys.readouterr().out


def test_perfect_calls_have_wilsons_interval_and_no_other(capsys):
    predictions = _predictions()
    logits = (predictions.labels * 8.0 - 4).astype(np.float32)
    result = evaluate(Predictions(*list(vars(predictions).values())[:4], logits))
    assert result["auroc"] == {"value": 1.0, "low": None, "high": None, "method": "delong"}
    assert result["weighted"]["f1"]["low"] is None
    assert 0.9 < result["accuracy"]["low"] < result["accuracy"]["high"] == 1
    print_table(result)
    assert "no interval" in capsys.readouterr().out


@pytest.mark.parametrize(
    "predictions",
    [
        Predictions([], [], [], np.array([], int), np.array([], np.float32)),
        Predictions(["a"], ["a"], ["none"], np.array([0, 1]), np.zeros(2, np.float32)),
        Predictions(["a"], ["a"], ["none"], np.array([0]), np.array([np.nan], np.float32)),
    ],
)
def test_predictions_that_cannot_be_scored_are_refused(predictions):
    with pytest.raises(ValueError, match="length|finite"):
        evaluate(predictions)


def test_an_evaluation_leaves_whole_files_and_nothing_else(tmp_path):
    folder = tmp_path / "evaluation" / "test"
    result = write(folder, _predictions(), {"run": "base", "step": np.int64(7)}, HISTORY)
    pictures = ["confusion.png", "curves.png", "roc.png"]
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [*pictures, "metrics.json", "predictions.csv"]
    )
    for name in pictures:
        with Image.open(folder / name) as picture:
            picture.load()
            assert picture.width >= 1400
    stored = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert stored == result
    assert (stored["run"], stored["step"], stored["synthetic"]) == ("base", 7, False)
    assert stored["disclaimer"] == DISCLAIMER


def test_without_a_history_there_are_no_curves(tmp_path):
    write(tmp_path, _predictions(), {}, [])
    assert not (tmp_path / "curves.png").exists()


def test_the_csv_holds_every_film_as_it_was_called(tmp_path):
    predictions = _predictions()
    write(tmp_path, predictions, {}, [])
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == list(predictions.files)
    assert [row["patient"] for row in rows] == list(predictions.patients)
    assert [row["label"] == "PNEUMONIA" for row in rows] == list(predictions.labels == 1)
    np.testing.assert_allclose(
        [float(row["probability"]) for row in rows], predictions.probabilities, rtol=1e-8
    )
    for row in rows:
        assert row["call"] == ("PNEUMONIA" if float(row["probability"]) >= 0.5 else "NORMAL")
        assert row["disclaimer"] == DISCLAIMER
    result = write(tmp_path, predictions, {"patients_known": False}, [])
    assert result["patients"] is None
    assert "person" not in (tmp_path / "predictions.csv").read_text()


def test_synthetic_films_are_stamped_in_every_output(tmp_path, capsys, monkeypatch):
    stamps = []
    for name in ("roc_figure", "confusion_figure", "curves_figure"):
        draw = getattr(plots, name)

        def spy(*args, draw=draw, **kwargs):
            stamps.append(kwargs["synthetic"])
            return draw(*args, **kwargs)

        monkeypatch.setattr(report.plots, name, spy)
    result = write(tmp_path, _predictions(), {"synthetic": True}, HISTORY)
    assert stamps == [True, True, True]
    assert json.loads((tmp_path / "metrics.json").read_text())["synthetic"] is True
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert all("synthetic films" in line for line in lines[1:])
    print_table(result)
    assert "synthetic films" in capsys.readouterr().out
    print_table(evaluate(_predictions()))
    assert "synthetic" not in capsys.readouterr().out


def test_a_failed_write_leaves_the_old_file_and_no_metrics(tmp_path, monkeypatch):
    write(tmp_path, _predictions(), {}, [])
    (tmp_path / "metrics.json").unlink()
    before = (tmp_path / "roc.png").read_bytes()

    def full(self, path, **kwargs):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(UserError, match="roc.png.*No space left"):
        write(tmp_path, _predictions(seed=1), {}, [])
    assert (tmp_path / "roc.png").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "confusion.png",
        "predictions.csv",
        "roc.png",
    ]


def test_a_context_may_not_overwrite_a_result(tmp_path):
    with pytest.raises(ValueError, match="accuracy"):
        write(tmp_path, _predictions(), {"accuracy": 1.0}, [])
    assert not list(tmp_path.iterdir())


def test_a_context_without_a_number_becomes_null(tmp_path):
    result = write(tmp_path, _predictions(), {"loss": [np.float32("nan"), math.inf, 1.0]}, [])
    assert result["loss"] == [None, None, 1.0]


def test_the_table_has_the_figures_sensitivity_and_specificity_first(capsys):
    result = evaluate(_predictions())
    print_table(result)
    text = capsys.readouterr().out
    order = ["90 films of 30 patients, 66.7% PNEUMONIA", "Sensitivity", "Specificity", "AUROC"]
    order += ["Accuracy", "NORMAL", "called NORMAL", DISCLAIMER]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    for figure in _figures(result):
        assert f"{figure['value']:.3f}" in text
        assert f"{figure['low']:.3f} to {figure['high']:.3f}" in text
    for limits in ("sensitivity", "specificity", "auroc", "accuracy"):
        drawn = result["bootstrap"]["intervals"][limits]
        assert f"{drawn['low']:.3f} to {drawn['high']:.3f}" in text
    rows = [line.split() for line in text.splitlines()]
    counts = result["confusion"]
    assert ["NORMAL", str(counts["tn"]), str(counts["fp"])] in rows
    assert ["PNEUMONIA", str(counts["fn"]), str(counts["tp"])] in rows


def test_the_table_is_plain_and_fits_80_columns_when_piped(tmp_path):
    result = write(tmp_path, _predictions(), {"synthetic": True}, [])
    code = (
        "import json, sys; from pneumojax.evaluation.table import print_table;"
        "print_table(json.load(sys.stdin))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(result),
        capture_output=True,
        encoding="utf-8",
        env={"PATH": "", "PYTHONUTF8": "1"},
        check=True,
    )
    assert "\x1b" not in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "95 % Wilson/DeLong   95 % patient bootstrap" in ran.stdout  # no heading is broken
    assert "…" not in ran.stdout
