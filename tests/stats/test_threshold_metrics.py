import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats import contingency_tables

from pneumojax.stats.intervals import wilson
from pneumojax.stats.metrics import Confusion, confusion
from pneumojax.stats.threshold_metrics import (
    closed_forms,
    mcnemar,
    predictive_values,
    threshold_metrics,
)

COUNTED = Confusion(*np.array([114, 20, 24, 363]))  # tn, fp, fn, tp


def _films(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed])
    labels = rng.integers(0, 2, n)
    first, second = (rng.normal(size=(2, n)) + labels > 0.5).astype(int)
    return labels, first, second


@pytest.mark.parametrize("seed", range(3))
def test_metrics_of_calls_equal_sklearns(seed):
    labels, calls, _ = _films(seed)
    figures = threshold_metrics(confusion(labels, calls))
    assert figures["mcc"] == pytest.approx(sklearn.metrics.matthews_corrcoef(labels, calls))
    ratios = figures["positive_likelihood_ratio"], figures["negative_likelihood_ratio"]
    assert ratios == pytest.approx(sklearn.metrics.class_likelihood_ratios(labels, calls))
    for name, positive in (("positive", 1), ("negative", 0)):
        theirs = sklearn.metrics.precision_score(labels, calls, pos_label=positive)
        assert figures[f"{name}_predictive_value"] == pytest.approx(theirs)


def test_metrics_with_a_denominator_of_zero_are_undefined():
    no_alarm = threshold_metrics(confusion([0, 0, 1, 1], [0, 0, 0, 1]))
    assert np.isnan(no_alarm["positive_likelihood_ratio"])  # infinite
    never_called = threshold_metrics(confusion([0, 1], [0, 0]))
    assert np.isnan(never_called["mcc"]) and np.isnan(never_called["positive_predictive_value"])


def test_mcc_of_many_films_does_not_overflow():
    counted = Confusion(*np.array([10**6, 10**5, 10**5, 10**6]))
    assert counted.mcc == pytest.approx((100 - 1) / 121)


def test_shares_have_wilsons_intervals_and_ratios_contain_their_value():
    limits, figures = (
        {name: form.interval for name, form in closed_forms(COUNTED).items()},
        threshold_metrics(COUNTED),
    )
    assert limits["sensitivity"] == wilson(363, 387)
    assert limits["specificity"] == wilson(114, 134)
    assert limits["accuracy"] == wilson(114 + 363, 521)
    assert limits["positive_predictive_value"] == wilson(363, 383)
    assert limits["negative_predictive_value"] == wilson(114, 138)
    for sign, above, below in (("positive", 363, 20), ("negative", 24, 114)):
        low, high = limits[f"{sign}_likelihood_ratio"]
        assert low < figures[f"{sign}_likelihood_ratio"] < high
        katz = scipy.stats.contingency.relative_risk(above, 387, below, 134)
        theirs = katz.confidence_interval(0.95)  # Katz's formula is near Koopman's at these counts
        assert (low, high) == pytest.approx((theirs.low, theirs.high), rel=0.03)


def test_predictive_values_at_the_films_own_prevalence_are_those_of_the_films():
    figures, shifted = threshold_metrics(COUNTED), predictive_values(COUNTED, 387 / 521)
    for name in ("positive_predictive_value", "negative_predictive_value"):
        assert getattr(shifted, name).value == pytest.approx(figures[name], rel=1e-12)


def test_predictive_values_at_a_prevalence_are_those_of_films_with_it():
    # One film of pneumonia to 19 normal ones; 363 of 387 and 114 of 134 are called correctly.
    hits, alarms = 0.05 * 363 / 387, 0.95 * 20 / 134
    shifted = predictive_values(COUNTED, 0.05)
    assert shifted.positive_predictive_value.value == pytest.approx(hits / (hits + alarms))
    rests, misses = 0.95 * 114 / 134, 0.05 * 24 / 387
    assert shifted.negative_predictive_value.value == pytest.approx(rests / (rests + misses))
    rarer = predictive_values(COUNTED, 0.01)
    assert rarer.positive_predictive_value.value < shifted.positive_predictive_value.value


def test_intervals_at_a_prevalence_cover_as_often_as_their_level():
    rng, hits = np.random.default_rng([0]), {}
    truth = predictive_values(Confusion(*np.array([85, 15, 6, 94])), 0.2)
    for _ in range(400):
        fp, tp = rng.binomial(134, 0.15), rng.binomial(387, 0.94)
        drawn = Confusion(*np.array([134 - fp, fp, 387 - tp, tp]))
        shifted = predictive_values(drawn, 0.2)
        for name in ("positive_predictive_value", "negative_predictive_value"):
            true, of_drawn = getattr(truth, name).value, getattr(shifted, name)
            hits[name] = hits.get(name, 0) + (of_drawn.low <= true <= of_drawn.high)
    assert all(0.92 <= count / 400 <= 0.98 for count in hits.values()), hits


def test_without_a_false_alarm_the_predictive_value_still_has_a_lower_limit():
    counted = confusion([0] * 20 + [1] * 50, [0] * 20 + [0] * 5 + [1] * 45)
    value = predictive_values(counted, 0.2).positive_predictive_value
    assert 0.3 < value.low < value.high == 1 == value.value
    nothing = predictive_values(confusion([1, 1], [1, 1]), 0.2)
    for undefined in (nothing.positive_predictive_value, nothing.negative_predictive_value):
        assert np.isnan([undefined.low, undefined.high]).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        predictive_values(counted, 1.0)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_mcnemar_is_the_binomial_test_of_films_that_one_network_alone_calls_right(one, two, both):
    labels = np.tile([0, 1], (one + two + both + 1) // 2)[: one + two + both]
    first = np.where(np.arange(labels.size) < one + both, labels, 1 - labels)
    second = np.where(np.arange(labels.size) < one, 1 - labels, labels)
    result = mcnemar(labels, first, second)
    assert result[:2] == (one, two)
    expected = scipy.stats.binomtest(one, one + two).pvalue if one + two else 1.0
    assert result.p == pytest.approx(expected, rel=1e-9)
    theirs = contingency_tables.mcnemar([[both, one], [two, 0]], exact=True)
    assert result.p == pytest.approx(min(1.0, theirs.pvalue), rel=1e-9)


def test_mcnemar_holds_where_powers_of_two_overflow_floats():
    labels = np.zeros(4_000, int)
    halves = (np.arange(4_000) < 2_100).astype(int)
    expected = scipy.stats.binomtest(1_900, 4_000).pvalue
    assert mcnemar(labels, halves, 1 - halves).p == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="2 labels, 2 and 3 calls"):
        mcnemar([0, 1], [0, 1], [0, 1, 1])
