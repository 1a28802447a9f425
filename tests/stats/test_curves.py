import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from pneumojax.stats.curves import (
    average_precision,
    precision_recall_band,
    precision_recall_curve,
    roc_band,
    roc_curve,
    weighted_average_precision,
)

TIED_FILMS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=1, max_size=40
).filter(lambda films: any(label for label, _ in films))
GRID = np.linspace(0, 1, 11)


def _films(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed])
    labels = (np.arange(n) % 3 > 0).astype(int)
    return labels, np.round(rng.normal(size=n) + 1.2 * labels, 1)


@given(TIED_FILMS)
def test_curve_and_area_equal_sklearns_with_ties(films):
    labels, scores = np.array(films).T
    theirs = sklearn.metrics.average_precision_score(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(theirs, abs=1e-12)
    for ours, reference in zip(
        precision_recall_curve(labels, scores),
        sklearn.metrics.precision_recall_curve(labels, scores),
        strict=True,
    ):
        np.testing.assert_allclose(ours[::-1], reference[: ours.size], atol=1e-12)


def test_weighted_area_equals_sklearns_and_one_class_has_none():
    labels, scores = _films(0, n=80)
    weights = np.random.default_rng([0]).integers(0, 3, (5, 80)).astype(float)
    for row, ours in zip(weights, weighted_average_precision(labels, scores, weights), strict=True):
        theirs = sklearn.metrics.average_precision_score(labels, scores, sample_weight=row)
        assert ours == pytest.approx(theirs, abs=1e-12)
    assert np.isnan(average_precision([0, 0], [1, 2]))
    assert np.isnan(precision_recall_curve([0, 0], [1, 2])[1]).all()


def test_the_roc_band_contains_the_curve_and_equals_that_of_curves_drawn_one_by_one():
    labels, scores = _films(1)
    low, high = roc_band(labels, scores, np.arange(300), GRID, resamples=1500)
    rates, sensitivity, _ = roc_curve(labels, scores)
    own = np.interp(GRID, rates, sensitivity)
    assert (low <= own).all() and (own <= high).all() and (low[1:-1] < high[1:-1]).all()
    assert low[-1] == high[-1] == 1
    rng, drawn = np.random.default_rng([1]), []
    for _ in range(1500):
        films = rng.integers(300, size=300)
        false_positives, hits, _ = sklearn.metrics.roc_curve(labels[films], scores[films])
        drawn.append(np.interp(GRID, false_positives, hits))
    expected = np.quantile(drawn, [0.025, 0.975], axis=0)
    np.testing.assert_allclose((low, high), expected, atol=0.03)


def test_the_precision_band_contains_the_curve_and_ends_at_the_share_of_pneumonia():
    labels, scores = _films(2)
    low, high = precision_recall_band(labels, scores, np.arange(300) // 2, GRID)
    precision, recall, _ = precision_recall_curve(labels, scores)
    own = [precision[np.flatnonzero(recall >= r - 1e-12)[0]] for r in GRID]
    assert (low <= own).all() and (own <= high).all()
    assert low[-1] < 0.75 and high[-1] < 0.85  # all films are called, or nearly all


def test_the_precision_band_equals_that_of_curves_drawn_one_by_one():
    labels, scores = _films(3)
    ours = precision_recall_band(labels, scores, np.arange(300), GRID[1:], resamples=700)
    rng, drawn = np.random.default_rng([3]), []
    for _ in range(700):
        films = rng.integers(300, size=300)
        curve = sklearn.metrics.precision_recall_curve(labels[films], scores[films])
        precision, recall = curve[0][::-1], curve[1][::-1]
        drawn.append(precision[np.searchsorted(recall, GRID[1:] - 1e-12)])
    expected = np.quantile(drawn, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(ours, expected, atol=0.03)


def test_the_band_of_a_single_patient_is_the_curve():
    labels, scores = _films(4)
    low, high = roc_band(labels, scores, ["p"] * 300, GRID, resamples=20)
    rates, sensitivity, _ = roc_curve(labels, scores)
    np.testing.assert_allclose(low, np.interp(GRID, rates, sensitivity))
    np.testing.assert_array_equal(low, high)


def test_bands_of_one_class_are_undefined():
    for band in (roc_band, precision_recall_band):
        low, high = band(np.zeros(20, int), np.arange(20.0), np.arange(20), GRID, resamples=20)
        assert np.isnan(low).all() and np.isnan(high).all()
