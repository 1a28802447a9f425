import json

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from pneumojax.evaluation.audits.subgroups import subgroups
from pneumojax.evaluation.predictions import Predictions
from pneumojax.inference.decision import Decision
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.estimates import FEW
from pneumojax.stats.intervals import wilson
from tests.support.resampling import patient_bootstrap

N = 400
DECISION = Decision("youden", 1.0, 1 / (1 + np.exp(-0.5)), 10, "")


def measured(labels, logits, pathogens, statistics, patients, resamples=10):
    """The entry of metrics.json, in which None stands for what is undefined."""
    files, notes = [f"{i}.png" for i in range(N)], [""] * N
    predictions = Predictions(files, patients, pathogens, labels, logits, notes)
    finding = subgroups(predictions, DECISION, statistics, resamples=resamples)
    return finding.record()["subgroups"]


@pytest.fixture(scope="module")
def films():
    rng = np.random.default_rng([0])
    labels = (np.arange(N) % 4 > 0).astype(int)
    logits = rng.normal(size=N) + 1.5 * labels
    pathogens = np.where(labels == 0, "none", np.where(np.arange(N) % 8 > 4, "virus", "bacteria"))
    statistics = {
        "width": np.full(N, 224.0),
        "sharpness": rng.normal(size=N) - labels,
        "brightness": rng.integers(0, 3, N).astype(float),  # ties
    }
    return labels, logits, pathogens.tolist(), statistics


@pytest.fixture(scope="module")
def result(films):
    return measured(*films, [f"p{i // 2}" for i in range(N)], resamples=400)


def _rows(result, by):
    return [row for row in result["parts"] if row["by"] == by]


def test_all_films_have_the_figures_that_they_have_elsewhere(films, result):
    labels, logits, *_ = films
    calls = (logits > 0.5).astype(int)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    (row,) = _rows(result, "all")
    drawn = patient_bootstrap(labels, calls, logits, np.arange(N) // 2, resamples=400)
    hits = int(calls[labels == 1].sum())
    assert (row["sensitivity"]["low"], row["sensitivity"]["high"]) == wilson(hits, labels.sum())
    assert (row["auroc"]["low"], row["auroc"]["high"]) == delong_interval(labels, logits)
    for name in ("sensitivity", "specificity", "auroc"):
        bootstrap = row[name]["bootstrap"]
        # The keys of patients sort differently here, so the draws differ.
        assert (bootstrap["low"], bootstrap["high"]) == pytest.approx(drawn[name], abs=0.02)


def test_parts_have_sklearns_figures_of_their_own_films(films, result):
    labels, logits, _, statistics = films
    calls = (logits > 0.5).astype(int)
    rows = _rows(result, "sharpness")
    assert [row["n"] for row in rows] == [100] * 4
    edges = np.quantile(statistics["sharpness"], [0.25, 0.5, 0.75])
    part = np.searchsorted(edges, statistics["sharpness"])
    for i, row in enumerate(rows):
        own = part == i
        assert (row["low"], row["high"]) == (
            statistics["sharpness"][own].min(),
            statistics["sharpness"][own].max(),
        )
        assert row["normal"] + row["pneumonia"] == 100
        assert row["sensitivity"]["value"] == pytest.approx(recall_score(labels[own], calls[own]))
        specificity = recall_score(labels[own], calls[own], pos_label=0)
        assert row["specificity"]["value"] == pytest.approx(specificity)
        assert row["auroc"]["value"] == pytest.approx(roc_auc_score(labels[own], logits[own]))
        counts = {"sensitivity": row["pneumonia"], "specificity": row["normal"]}
        counts["auroc"] = min(counts.values())
        assert row["too_few"] == [name for name, count in counts.items() if count < FEW]
    assert any(row["too_few"] for row in rows) and not all(row["too_few"] for row in rows)


def test_a_pathogen_is_told_from_all_normal_films_and_has_no_specificity(films, result):
    labels, logits, pathogens, _ = films
    calls = (logits > 0.5).astype(int)
    rows = _rows(result, "pathogen")
    assert [row["name"] for row in rows] == ["bacteria", "virus"]
    for row in rows:
        own = np.array(pathogens) == row["name"]
        both = own | (labels == 0)
        assert row["n"] == row["pneumonia"] == own.sum() and row["normal"] == 0
        assert row["sensitivity"]["value"] == pytest.approx(calls[own].mean())
        assert row["auroc"]["value"] == pytest.approx(roc_auc_score(labels[both], logits[both]))
        assert row["specificity"]["value"] is None and row["too_few"] == []


def test_films_of_one_value_stay_together_and_what_has_one_value_is_not_divided(films, result):
    rows = _rows(result, "brightness")
    assert [(row["low"], row["high"]) for row in rows] == [(0, 0), (1, 1), (2, 2)]
    assert sum(row["n"] for row in rows) == N
    assert not _rows(result, "width") and set(result["undivided"]) == {"width"}


def test_films_without_patients_or_pathogens_and_of_one_class_are_survived(films):
    labels, logits, _, statistics = films
    unknown = measured(labels, logits, ["unknown"] * N, statistics, None)
    assert unknown["bootstrap"]["unit"] == "film" and unknown["patients"] is None
    assert "pathogen" in unknown["undivided"]
    ones = measured(labels | 1, logits, ["virus"] * N, statistics, ["p"] * N)
    (row,) = _rows(ones, "all")
    assert row["auroc"]["value"] is row["specificity"]["value"] is None
    assert row["sensitivity"]["bootstrap"] == {"low": None, "high": None}  # one patient
    assert row["too_few"] == ["specificity", "auroc"]
    with pytest.raises(ValueError, match="400 labels, 1 pathogens"):
        measured(labels, logits, ["virus"], statistics, None)
