import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    classification_report,
    log_loss,
    matthews_corrcoef,
    roc_auc_score,
)

from pneumojax.evaluation import summary
from pneumojax.evaluation.predictions import Predictions
from pneumojax.inference.decision import Decision, undecided

HALF = undecided("")
SHIFTED = Decision("youden", 2.0, 0.6, 50, "")


def record_of(predictions, decision, **options):
    """The entries of metrics.json, in which None stands for what is undefined."""
    return summary.summarise(predictions, decision, **options).record()


def figures(value: object) -> list[dict]:
    if not isinstance(value, dict):
        return []
    own = [value] if "method" in value else []
    return own + [figure for item in value.values() for figure in figures(item)]


def sides(result):
    """The metrics of calls, with their threshold and temperature."""
    return (
        (result, SHIFTED.threshold, SHIFTED.temperature),
        (result["at_half"], 0.5, 1.0),
    )


def test_the_figures_equal_sklearns(predictions):
    result = record_of(predictions, SHIFTED)
    labels, logits = predictions.labels, predictions.logits.astype(float)
    for side, threshold, temperature in sides(result):
        calls = 1 / (1 + np.exp(-logits / temperature)) >= threshold
        theirs = classification_report(labels, calls, output_dict=True)
        expected = {
            "sensitivity": theirs["1"]["recall"],
            "specificity": theirs["0"]["recall"],
            "positive_predictive_value": theirs["1"]["precision"],
            "negative_predictive_value": theirs["0"]["precision"],
            "f1_PNEUMONIA": theirs["1"]["f1-score"],
            "f1_NORMAL": theirs["0"]["f1-score"],
            "weighted_f1": theirs["weighted avg"]["f1-score"],
            "weighted_precision": theirs["weighted avg"]["precision"],
            "accuracy": theirs["accuracy"],
            "balanced_accuracy": theirs["macro avg"]["recall"],
            "mcc": matthews_corrcoef(labels, calls),
        }
        for name, value in expected.items():
            assert side[name]["value"] == pytest.approx(value), name
        assert sum(side["confusion"].values()) == 90
    assert result["auroc"]["value"] == pytest.approx(roc_auc_score(labels, logits))
    assert result["average_precision"]["value"] == pytest.approx(
        average_precision_score(labels, logits)
    )
    for name, temperature in (("uncalibrated", 1.0), ("calibrated", SHIFTED.temperature)):
        probabilities = 1 / (1 + np.exp(-logits / temperature))
        side = result["calibration"][name]
        assert side["log_loss"]["value"] == pytest.approx(log_loss(labels, probabilities))
        assert side["brier"]["value"] == pytest.approx(brier_score_loss(labels, probabilities))
        assert sum(row["films"] for row in side["bins"]) == 90
    assert (result["n"], result["patients"], result["patients_known"]) == (90, 30, True)
    assert result["prevalence"] == pytest.approx(2 / 3)


def test_every_figure_lies_in_its_interval_and_names_its_method(predictions):
    result = record_of(predictions, SHIFTED)
    found = figures(result)
    assert len(found) == 2 + 2 + 2 * 13 + 2 * 6  # ranking, pathogens, calls twice, calibration
    biased = [side["calibration_error"] for side in result["calibration"].values()]
    for figure in found:
        if figure not in biased:
            assert figure["low"] < figure["value"] < figure["high"]
    assert result["auroc"]["method"] == "delong"
    assert result["sensitivity"]["method"] == result["accuracy"]["method"] == "wilson"
    assert result["positive_likelihood_ratio"]["method"] == "koopman"
    assert result["weighted_f1"]["method"] == "patient bootstrap"
    assert result["bootstrap"]["unit"] == "patient"


def test_sensitivity_is_told_by_pathogen_where_that_is_known(predictions, one_class):
    result = record_of(predictions, HALF)["sensitivity_by_pathogen"]
    assert list(result) == ["bacteria", "virus"]
    kinds = np.array(predictions.pathogens)
    for kind, figure in result.items():
        assert figure["value"] == pytest.approx((predictions.logits[kinds == kind] >= 0).mean())
        assert figure["n"] == (kinds == kind).sum()
    assert record_of(one_class(1), HALF)["sensitivity_by_pathogen"] == {}


def test_unknown_patients_are_neither_counted_nor_drawn(predictions):
    result = record_of(replace(predictions, patients=None), HALF)
    assert (result["patients"], result["patients_known"]) == (None, False)
    assert result["weighted_f1"]["method"] == "film bootstrap"
    known = record_of(predictions, HALF)
    for name in ("sensitivity", "auroc", "mcc"):
        assert result[name]["bootstrap"] != known[name]["bootstrap"]


def test_a_decision_moves_calls_and_probabilities_but_no_ranking(predictions):
    half, shifted = record_of(predictions, HALF), record_of(predictions, SHIFTED)
    assert half["sensitivity"]["value"] > shifted["sensitivity"]["value"]
    assert half["specificity"]["value"] < shifted["specificity"]["value"]
    assert half["auroc"] == shifted["auroc"]
    assert half["at_half"] == shifted["at_half"]
    assert half["calibration"]["calibrated"] == half["calibration"]["uncalibrated"]
    assert half["calibration"]["calibrated"] != shifted["calibration"]["calibrated"]


def test_the_seed_moves_the_resampled_intervals_only(predictions):
    first, again, other = (record_of(predictions, HALF, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["weighted_f1"]["low"] != other["weighted_f1"]["low"]
    assert first["weighted_f1"]["value"] == other["weighted_f1"]["value"]
    assert first["sensitivity"]["low"] == other["sensitivity"]["low"]


def test_far_off_logits_are_ranked_though_their_probabilities_are_equal():
    logits = np.array([40, 50, 60, 70], np.float32)
    predictions = Predictions(
        list("abcd"), list("abcd"), [""] * 4, np.array([0, 0, 1, 1]), logits, [""] * 4
    )
    assert set(HALF.probabilities(logits)) == {1.0}
    assert record_of(predictions, HALF)["auroc"]["value"] == 1


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_is_reported_with_none_for_what_is_undefined(label, one_class):
    result = record_of(one_class(label), HALF)
    assert (result["auroc"]["value"], result["auroc"]["low"]) == (None, None)
    assert result["specificity" if label else "sensitivity"]["value"] is None
    assert result["accuracy"]["value"] == pytest.approx(2 / 3 if label else 1 / 3)
    assert result["at_prevalences"][0]["positive_predictive_value"]["value"] is None
    json.dumps(result, allow_nan=False)


def test_perfect_calls_have_wilsons_interval_and_no_other(predictions):
    logits = (predictions.labels * 8.0 - 4).astype(np.float32)
    result = record_of(replace(predictions, logits=logits), HALF)
    assert (result["auroc"]["value"], result["auroc"]["low"]) == (1.0, None)
    assert result["weighted_f1"]["low"] is None
    assert 0.9 < result["accuracy"]["low"] < result["accuracy"]["high"] == 1


def test_few_films_are_divided_into_fewer_bins_of_at_least_five(predictions):
    fields = ("files", "patients", "pathogens", "labels", "logits", "trained_on")
    few = replace(predictions, **{name: getattr(predictions, name)[:12] for name in fields})
    for side in record_of(few, HALF)["calibration"].values():
        assert [found["films"] for found in side["bins"]] == [6, 6]
    assert [summary.bins_for(films) for films in (3, 49, 50, 9_999)] == [1, 9, 10, 10]


@pytest.mark.parametrize(
    "predictions",
    [
        Predictions([], [], [], np.array([], int), np.array([], np.float32), []),
        Predictions(["a"], ["a"], ["none"], np.array([0, 1]), np.zeros(2, np.float32), [""]),
        Predictions(["a"], ["a"], ["none"], np.array([0]), np.array([np.nan], np.float32), [""]),
    ],
)
def test_predictions_that_cannot_be_scored_are_refused(predictions):
    with pytest.raises(ValueError, match="length|finite"):
        record_of(predictions, HALF)
