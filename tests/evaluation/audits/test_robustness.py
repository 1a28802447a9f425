import json
import time

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from pneumojax.evaluation.audits import robustness as audited
from pneumojax.evaluation.audits.perturbations import PERTURBATIONS, Perturbation, brightness
from pneumojax.evaluation.audits.robustness import MOST_FILMS, sample_films
from pneumojax.inference.decision import Decision
from pneumojax.stats.delong import delong_interval, delong_test

DECISION = Decision("youden", 2.0, 0.4, 10, "")


def robustness(*arguments):
    """The entry of metrics.json, in which None stands for what is undefined."""
    return audited.robustness(*arguments).record()["robustness"]


@pytest.fixture(scope="module")
def films():
    """Films of which those of pneumonia are brighter, and their labels."""
    labels = (np.arange(60) % 3 > 0).astype(int)
    grey = np.random.default_rng([0]).normal(90 + 30 * labels, 30).clip(0, 255)
    return np.tile(grey.astype(np.uint8)[:, None, None], (1, 16, 16)), labels


def _score(images):
    return (images.mean(axis=(1, 2)) - 110) / 10


@pytest.fixture(scope="module")
def result(films):
    return robustness(_score, *films, DECISION)


def test_figures_are_those_of_the_perturbed_films(films, result):
    images, labels = films
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["kinds"].keys() == PERTURBATIONS.keys()
    rows = [{**result["unchanged"], "level": 0.0}, *result["kinds"]["brightness"]["levels"]]
    for row in rows:
        logits = _score(brightness(images, row["level"]))
        assert row["auroc"]["value"] == pytest.approx(roc_auc_score(labels, logits))
        assert (row["auroc"]["low"], row["auroc"]["high"]) == delong_interval(labels, logits)
        calls = 1 / (1 + np.exp(-logits / 2.0)) >= 0.4
        assert row["sensitivity"]["value"] == pytest.approx(recall_score(labels, calls))
        specificity = recall_score(labels, calls, pos_label=0)
        assert row["specificity"]["value"] == pytest.approx(specificity)
    for row in rows[1:]:
        tested = delong_test(labels, _score(images), _score(brightness(images, row["level"])))
        assert row["change"]["value"] == pytest.approx(tested.difference)


def test_levels_rise_and_darker_films_lose_sensitivity(result):
    for kind in result["kinds"].values():
        levels = [row["level"] for row in kind["levels"]]
        assert levels == sorted(levels)
    darkest, *_, brightest = result["kinds"]["brightness"]["levels"]
    assert darkest["sensitivity"]["value"] < 0.3 < 0.9 < brightest["sensitivity"]["value"]
    assert brightest["specificity"]["value"] < 0.3


def test_a_sample_keeps_the_share_of_each_class_and_is_a_function_of_its_seed():
    labels = (np.random.default_rng([1]).random(5216) < 0.743).astype(int)
    chosen = sample_films(labels)
    assert chosen.size == MOST_FILMS == np.unique(chosen).size and (np.diff(chosen) > 0).all()
    assert labels[chosen].mean() == pytest.approx(labels.mean(), abs=1 / MOST_FILMS)
    np.testing.assert_array_equal(chosen, sample_films(labels))
    assert (chosen != sample_films(labels, seed=1)).any()


def test_few_films_are_all_taken_and_a_rare_class_is_not_lost():
    np.testing.assert_array_equal(sample_films(np.array([1, 0, 1])), [0, 1, 2])
    rare = np.zeros(1000, int)
    rare[[3, 700]] = 1
    assert rare[sample_films(rare, most=100)].sum() == 1
    assert (1 - rare)[sample_films(1 - rare, most=100)].sum() == 99
    assert sample_films(np.ones(1000, int), most=100).size == 100


def test_23_passes_are_made_and_no_more():
    assert 1 + sum(len(p.levels) for p in PERTURBATIONS.values()) == 23


def test_slow_work_says_how_far_it_is(films, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(images):
        now[0] += 6
        return _score(images)

    kinds = {"dark": Perturbation("Dark", brightness, 0.0, (-0.1, -0.2))}
    robustness(slow, *films, DECISION, kinds)
    out, err = capsys.readouterr()
    assert not out
    assert err.splitlines() == [
        "robustness: 1/3 settings, 12 s left",
        "robustness: 2/3 settings, 6 s left",
    ]


def test_one_class_has_no_auroc_and_no_film_is_refused(films):
    images, _ = films
    kinds = {"dark": PERTURBATIONS["brightness"]}
    ones = robustness(_score, images[:5], np.ones(5, int), DECISION, kinds)
    assert ones["unchanged"]["auroc"]["value"] is None
    assert ones["unchanged"]["specificity"]["value"] is None
    assert ones["kinds"]["dark"]["levels"][0]["change"]["value"] is None
    with pytest.raises(ValueError, match="0 labels, 0 films"):
        robustness(_score, images[:0], [], DECISION)


def test_stress_is_the_mean_and_the_worst_over_its_settings(films, result):
    stress = result["stress"]
    rows = {
        (name, row["level"]): row
        for name in ("blur", "noise", "contrast", "jpeg", "crop")
        for row in result["kinds"][name]["levels"]
    }
    assert stress["settings"] == len(rows)
    for figure in ("auroc", "sensitivity", "specificity"):
        values = [row[figure]["value"] for row in rows.values()]
        mean, worst = stress["mean"][figure], stress["worst"][figure]
        assert mean["value"] == pytest.approx(np.mean(values))
        assert worst["value"] == pytest.approx(min(values))
        row = rows[worst["perturbation"], worst["level"]]
        assert row[figure]["value"] == pytest.approx(min(values))
        assert mean["low"] <= mean["value"] <= mean["high"]


def test_without_stresses_there_is_no_summary(films):
    turned = {"rotation": PERTURBATIONS["rotation"]}
    assert robustness(_score, *films, DECISION, turned)["stress"] is None
