"""Figures that are undefined are said to be, and no library warns: warnings are errors here."""

import numpy as np
import pytest

from pneumojax.evaluation.audits import audit_charts, audit_sections
from pneumojax.evaluation.audits.film_statistics import pixel_statistics
from pneumojax.evaluation.audits.robustness import robustness
from pneumojax.evaluation.audits.shortcuts import shortcuts, softest_normal
from pneumojax.evaluation.audits.subgroups import subgroups
from pneumojax.evaluation.report import charts, sections
from pneumojax.evaluation.summary import Predictions, evaluate
from pneumojax.evaluation.terminal import print_table
from pneumojax.inference.decision import Decision, fit_decision, undecided

RULES = [
    {"rule": "youden", "min_sensitivity": 0.95, "cost_ratio": 5.0, "temperature": True},
    {"rule": "sensitivity", "min_sensitivity": 0.95, "cost_ratio": 5.0, "temperature": True},
    {"rule": "cost", "min_sensitivity": 0.95, "cost_ratio": 5.0, "temperature": True},
]
CASES = {
    "one film": ([1], [0.3]),
    "two films": ([0, 1], [-1, 1]),
    "normal only": ([0] * 5, [-2, -1, 0, 1, 2]),
    "pneumonia only": ([1] * 5, [-2, -1, 0, 1, 2]),
    "constant": ([0, 1] * 5, [0.7] * 10),
    "constant at zero": ([0, 1] * 5, [0.0] * 10),
    "separated": ([0] * 5 + [1] * 5, list(range(-5, 0)) + list(range(1, 6))),
    "separated the wrong way": ([1] * 5 + [0] * 5, list(range(-5, 0)) + list(range(1, 6))),
    "nearly separated": ([0] * 5 + [1] * 5, [-5, -4, -3, -2, 0, 0, 1, 2, 3, 4]),
    "far out": ([0, 1] * 5, [-1e30, 1e30, 1e30, -1e30, 0, 1, 2, 3, 4, 5]),
    "close together": ([0, 1] * 5, [1 + i * 1e-7 for i in range(10)]),
}


def made(labels, logits):
    n = len(labels)
    return Predictions(
        files=[f"{i}.png" for i in range(n)],
        patients=[f"p{i // 2}" for i in range(n)],
        pathogens=["bacteria" if label else "none" for label in labels],
        labels=np.array(labels),
        logits=np.array(logits, np.float32),
        trained_on=[""] * n,
    )


@pytest.mark.parametrize("case", CASES)
def test_figures_that_are_undefined_are_said(case, capsys):
    films = made(*CASES[case])
    decisions = [undecided("no validation film")]
    decisions += [fit_decision(settings, films.labels, films.logits) for settings in RULES]
    for decision in decisions:
        assert isinstance(decision, Decision) and np.isfinite(decision.threshold)
        result = evaluate(films, decision)
        print_table(result)
        text = capsys.readouterr().out
        assert "nan" not in text
        if result["auroc"]["value"] is None:
            assert "undefined" in text
        sections.calibration(result)
        sections.discrimination(result)
    points = {"at 0.5": (0.5, 0.5)}
    charts.roc_chart(films.labels, films.logits, films.patients, points).canvas.draw()
    charts.precision_recall_chart(films.labels, films.logits, films.patients).canvas.draw()
    bins = {"as trained": result["calibration"]["uncalibrated"]["bins"]}
    charts.reliability_chart(bins).canvas.draw()


@pytest.mark.parametrize("case", CASES)
def test_audits_of_such_films_are_drawn(case):
    films = made(*CASES[case])
    n, decision = len(films.labels), undecided("")
    images = np.zeros((n, 32, 32), np.uint8)
    statistics = pixel_statistics(images) | {
        name: np.ones(n) for name in ("file_size", "width", "height", "aspect")
    }
    calls = decision.calls(decision.probabilities(films.logits))
    result = {
        "subgroups": subgroups(
            films.labels, films.logits, calls, films.pathogens, statistics, films.patients
        ),
        "shortcuts": shortcuts(statistics, films.labels, films.logits),
        "softest_normal": softest_normal(statistics["sharpness"], films.labels, calls),
        "robustness": robustness(lambda pixels: films.logits, images, films.labels, decision),
    }
    for section in (audit_sections.subgroups, audit_sections.shortcuts, audit_sections.robustness):
        assert "nan" not in str(section(result))
    for draw in (
        audit_charts.subgroups_chart,
        audit_charts.shortcuts_chart,
        audit_charts.robustness_chart,
    ):
        draw(result[draw.__name__.removesuffix("_chart")]).canvas.draw()
