"""The names that `pneumojax.stats` offers, on arrays of anybody, against other libraries."""

import numpy as np
import pytest
import sklearn.metrics
from statsmodels.stats import contingency_tables, proportion

from pneumojax import stats

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, 200)
SCORES = RNG.normal(LABELS, 1.2)
OTHER = RNG.normal(LABELS, 2.0)


def test_every_name_is_there_and_explained():
    for name in stats.__all__:
        offered = getattr(stats, name)
        assert callable(offered), name
    undocumented = {name for name in stats.__all__ if not getattr(stats, name).__doc__}
    assert undocumented <= {"call", "confusion", "weighted_confusion"}


def test_figures_are_those_of_scikit_learn_and_statsmodels():
    area = stats.auroc_estimate(LABELS, SCORES)
    assert area.value == pytest.approx(sklearn.metrics.roc_auc_score(LABELS, SCORES), abs=1e-12)
    calls = stats.call(stats.probability(SCORES))
    counted = stats.confusion(LABELS, calls)
    cells = [[counted.tn, counted.fp], [counted.fn, counted.tp]]
    assert np.array_equal(sklearn.metrics.confusion_matrix(LABELS, calls), cells)
    found = stats.closed_forms(counted)["sensitivity"].interval
    expected = proportion.proportion_confint(counted.tp, counted.support[1], method="wilson")
    assert found == pytest.approx(expected, abs=1e-12)
    right = calls == LABELS, stats.call(stats.probability(OTHER)) == LABELS
    table = [[int(np.sum((right[0] == a) & (right[1] == b))) for b in (1, 0)] for a in (1, 0)]
    tested = stats.mcnemar(LABELS, calls, stats.call(stats.probability(OTHER)))
    assert tested.p == pytest.approx(contingency_tables.mcnemar(table, exact=True).pvalue)
    metrics = stats.calibration_metrics(LABELS, SCORES)
    expected = sklearn.metrics.brier_score_loss(LABELS, stats.probability(SCORES))
    assert metrics["brier"][0] == pytest.approx(expected, abs=1e-12)
    precision = sklearn.metrics.average_precision_score(LABELS, SCORES)
    assert stats.average_precision(LABELS, SCORES) == pytest.approx(precision, abs=1e-12)


def test_films_that_are_repeated_by_patient_narrow_delong_but_not_the_bootstrap():
    once = stats.auroc_estimate(LABELS, SCORES, np.arange(200))
    labels, scores, patients = (np.tile(each, 4) for each in (LABELS, SCORES, np.arange(200)))
    repeated = stats.auroc_estimate(labels, scores, patients)
    assert repeated.value == pytest.approx(once.value, abs=1e-12)
    # Four times as many films halve the width of DeLong's interval.
    width = (repeated.high - repeated.low) / (once.high - once.low)
    assert width == pytest.approx(0.5, abs=0.01)
    # The same patients are drawn, so the bootstrap is the same.
    assert repeated.bootstrap == pytest.approx(once.bootstrap, abs=1e-12)
    assert stats.auroc_estimate(LABELS, SCORES).bootstrap == once.bootstrap


def test_two_scores_are_compared_on_the_same_films():
    tested = stats.delong_test(LABELS, SCORES, OTHER)
    assert tested.difference == pytest.approx(
        stats.auroc(LABELS, OTHER) - stats.auroc(LABELS, SCORES), abs=1e-12
    )
    assert tested.low < tested.difference < tested.high and 0 < tested.p < 1


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="200 labels but scores of shape"):
        stats.auroc_estimate(LABELS, SCORES[:9])
    with pytest.raises(ValueError, match="0 and 1"):
        stats.auroc(LABELS + 1, SCORES)
