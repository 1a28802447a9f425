"""Properties of all metrics and intervals, for films drawn by hypothesis."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumojax.stats.bootstrap import weighted_auroc, weighted_confusion
from pneumojax.stats.calibration import calibration_metrics, reliability
from pneumojax.stats.curves import average_precision
from pneumojax.stats.delong import delong, delong_interval, delong_test
from pneumojax.stats.intervals import wilson
from pneumojax.stats.metrics import Confusion, auroc, call, confusion, probability
from pneumojax.stats.threshold_metrics import closed_forms, threshold_metrics
from tests.support.resampling import patient_bootstrap

SCORES = st.integers(-4, 4)  # few, so that ties are common
FILMS = st.lists(st.tuples(st.integers(0, 1), SCORES, SCORES), min_size=1, max_size=40)
COUNTS = st.tuples(*[st.integers(0, 30)] * 4).filter(any)
EPS = 1e-12


def _same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=1e-12)  # nan equals nan


@given(FILMS, st.randoms(use_true_random=False))
def test_rankings_depend_on_order_alone_and_not_on_who_stands_first(films, random):
    labels, first, second = np.array(films).T
    random.shuffle(films)
    other = np.array(films).T
    grown = np.exp(first / 2), 3 * second - 1  # monotone
    for one, same in (
        ((labels, first, second), other),
        ((labels, first, second), (labels, *grown)),
    ):
        _same(delong(*one[:2]), delong(*same[:2]))
        _same(delong_test(*one), delong_test(*same))
        _same(average_precision(*one[:2]), average_precision(*same[:2]))


@given(FILMS)
def test_swapping_classes_mirrors_the_area_and_keeps_its_variance(films):
    labels, scores, _ = np.array(films).T
    area, variance = delong(labels, scores)
    for swapped in ((1 - labels, scores), (labels, -scores)):
        _same(delong(*swapped), (1 - area, variance))
        low, high = delong_interval(*swapped)
        _same((1 - high, 1 - low), delong_interval(labels, scores))
    _same(delong(1 - labels, -scores), (area, variance))


@given(FILMS, st.sampled_from([0.5, 0.8, 0.99]))
def test_an_area_lies_in_its_interval_within_zero_and_one(films, level):
    labels, scores, _ = np.array(films).T
    low, high = delong_interval(labels, scores, level)
    if not math.isnan(low):
        assert 0 <= low <= auroc(labels, scores) <= high <= 1
        wider = delong_interval(labels, scores, (1 + level) / 2)
        assert wider.low <= low and high <= wider.high


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.99]))
def test_wilson_holds_its_share_within_zero_and_one_and_mirrors(n, share, level):
    k = round(share * n)
    low, high = wilson(k, n, level)
    assert 0 <= low <= k / n <= high <= 1 and low < high
    assert wilson(n - k, n, level) == pytest.approx((1 - high, 1 - low), abs=EPS)
    wider, narrower = wilson(k, n, (1 + level) / 2), wilson(4 * k, 4 * n, level)
    assert wider.low <= low <= narrower.low + EPS and narrower.high - EPS <= high <= wider.high


@given(COUNTS)
def test_metrics_of_calls_lie_in_their_intervals_and_mirror_with_the_classes(counts):
    tn, fp, fn, tp = counts
    figures = threshold_metrics(Confusion(*np.array(counts)))
    for name, ((low, high), _) in closed_forms(Confusion(*np.array(counts))).items():
        if not (math.isnan(low) or math.isnan(figures[name])):
            assert low - EPS <= figures[name] <= high + EPS, name
    mirrored = threshold_metrics(Confusion(*np.array([tp, fn, fp, tn])))
    pairs = [("sensitivity", "specificity"), ("f1_negative", "f1_positive"), ("mcc", "mcc")]
    pairs += [("positive_predictive_value", "negative_predictive_value")]
    for name, mirror in pairs:
        _same(figures[name], mirrored[mirror])
    assert math.isnan(figures["mcc"]) or -1 - EPS <= figures["mcc"] <= 1 + EPS


@given(FILMS, st.integers(1, 12))
def test_calibration_error_lies_between_the_mean_gap_and_the_root_of_the_brier_score(films, bins):
    labels, logits, _ = np.array(films).T
    found = {name: v[0] for name, v in calibration_metrics(labels, logits, bins=bins).items()}
    gap = abs(labels.mean() - probability(logits).mean())
    assert gap - EPS <= found["calibration_error"] <= found["brier"] ** 0.5 + EPS <= 1 + 2 * EPS
    mirrored = calibration_metrics(1 - labels, -logits, bins=1)
    for name in ("brier", "log_loss"):
        assert found[name] == pytest.approx(mirrored[name][0], abs=1e-12)
    rows = reliability(labels, probability(logits), bins)
    assert sum(row.films for row in rows) == labels.size and len(rows) <= bins
    assert sum(row.films * row.observed for row in rows) == pytest.approx(labels.sum())


@given(FILMS)
def test_films_drawn_once_each_are_the_films_themselves(films):
    labels, scores, _ = np.array(films).T
    once, calls = np.ones((2, labels.size)), call(scores, 0)
    _same(weighted_auroc(labels, scores, once), [auroc(labels, scores)] * 2)
    drawn, counted = weighted_confusion(labels, calls, once), confusion(labels, calls)
    assert (drawn.tn[0], drawn.fp[0], drawn.fn[1], drawn.tp[1]) == tuple(vars(counted).values())


@given(FILMS)
def test_a_single_patient_gives_no_interval_of_anything(films):
    labels, scores, _ = np.array(films).T
    limits = patient_bootstrap(labels, call(scores, 0), scores, ["p"] * labels.size, resamples=20)
    assert np.isnan(list(limits.values())).all()
