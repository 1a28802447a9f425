"""Recipes are compared by the figures of their evaluation."""

import math

import pytest

from tools.protocols import SCORED, mean_ranks, protocol_figures, selection_score


def figure(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "method": "wilson", "more": 1}


@pytest.fixture
def result():
    names = ("auroc", "sensitivity", "specificity", "balanced_accuracy")
    stress = {
        "mean": {name: figure(0.1 * i) for i, name in enumerate(names, 1)},
        "worst": {name: figure(0.05 * i) for i, name in enumerate(names, 1)},
    }
    correlation = {"all": -0.5, "NORMAL": 0.1, "PNEUMONIA": -0.3}
    return {
        "auroc": figure(0.99),
        "sensitivity": figure(0.9),
        "specificity": figure(0.8),
        "robustness": {"stress": stress},
        "softest_normal": figure(0.7),
        "shortcuts": {
            "statistics": [{"name": "sharpness", "rank_correlation": correlation}],
            "pairs": {"auroc": figure(0.6)},
        },
    }


def test_each_figure_is_the_one_of_its_protocol(result):
    figures = protocol_figures(result)
    values = {name: found["value"] for name, found in figures.items()}
    assert values["auroc"] == 0.99 and values["matched_auroc"] == 0.6
    assert values["stress_mean_balanced_accuracy"] == pytest.approx(0.4)
    assert values["stress_worst_specificity"] == pytest.approx(0.15)
    assert values["softest_specificity"] == 0.7
    assert values["sharpness_normal"] == 0.1 and values["sharpness_pneumonia"] == -0.3
    assert figures["auroc"].keys() == {"value", "low", "high", "method"}


def test_the_score_is_the_plain_mean_of_its_figures(result):
    figures = protocol_figures(result)
    assert selection_score(figures) == pytest.approx((0.99 + 0.6 + 0.1 + 0.4) / 4)
    assert set(SCORED) <= figures.keys()
    figures["matched_auroc"] = figures["matched_auroc"] | {"value": None}
    assert math.isnan(selection_score(figures))


def test_ranks_have_equal_weight_however_widely_a_figure_spreads():
    rows = [
        {"auroc": figure(0.991), "elsewhere_auroc": figure(0.60)},
        {"auroc": figure(0.990), "elsewhere_auroc": figure(0.90)},
        {"auroc": figure(0.980), "elsewhere_auroc": figure(0.60)},
    ]
    assert mean_ranks(rows) == [(1 + 2.5) / 2, (2 + 1) / 2, (3 + 2.5) / 2]


def test_a_vote_that_a_recipe_lacks_does_not_count():
    rows = [{"auroc": figure(0.9), "styles_auroc": figure(0.9)}, {"auroc": figure(0.8)}]
    assert mean_ranks(rows) == [1, 2]
