"""Undefined metrics are reported as such, and no library warns: warnings are errors here."""

import numpy as np
import pytest

from pneumojax.data.film_statistics import pixel_statistics
from pneumojax.evaluation.audits.robustness import robustness
from pneumojax.evaluation.audits.shortcuts import shortcuts
from pneumojax.evaluation.audits.subgroups import subgroups
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.report import sections
from pneumojax.evaluation.report.charts import draw_charts
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.summary import summarise
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
def test_metrics_that_are_undefined_are_said(case, facts, capsys):
    films = made(*CASES[case])
    decisions = [undecided("no validation film")]
    decisions += [fit_decision(settings, films.labels, films.logits) for settings in RULES]
    for decision in decisions:
        assert isinstance(decision, Decision) and np.isfinite(decision.threshold)
        summary = summarise(films, decision)
        print_table(summary)
        text = capsys.readouterr().out
        assert "nan" not in text
        if np.isnan(summary.auroc.value):
            assert "undefined" in text
        evaluation = Evaluation(facts, films, summary, [])
        for section in (sections.calibration, sections.discrimination, sections.operating_point):
            assert "nan" not in str(section(evaluation))
    for chart in draw_charts(evaluation).values():
        chart.canvas.draw()


# The audits see logits only through AUROC and calls, so the other cases add nothing.
@pytest.mark.parametrize(
    "case", ["one film", "normal only", "pneumonia only", "constant", "separated", "far out"]
)
def test_audits_of_such_films_are_drawn(case):
    films = made(*CASES[case])
    n, decision = len(films.labels), undecided("")
    images = np.zeros((n, 32, 32), np.uint8)
    statistics = pixel_statistics(images) | {
        name: np.ones(n) for name in ("file_size", "width", "height", "aspect")
    }
    calls = decision.calls(decision.probabilities(films.logits))
    for finding in (
        subgroups(films, decision, statistics),
        shortcuts(statistics, films.labels, films.logits, calls),
        robustness(lambda pixels: films.logits, images, films.labels, decision),
    ):
        assert "nan" not in str(finding.section())
        assert "nan" not in str(finding.record()).lower()
        for chart in finding.pictures().values():
            chart.canvas.draw()
