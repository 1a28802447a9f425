import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pneumojax.stats.delong import delong, delong_interval, delong_test
from pneumojax.stats.metrics import auroc

SCORES = st.integers(-4, 4)
PAIRED = st.lists(st.tuples(st.integers(0, 1), SCORES, SCORES), min_size=4, max_size=40).filter(
    lambda films: 2 <= sum(label for label, *_ in films) <= len(films) - 2
)


def _films(seed: int, n: int = 150, distance: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two normal classes `distance` apart, whose AUROC is Phi(distance / sqrt 2)."""
    rng = np.random.default_rng([seed])
    labels = (np.arange(n) % 3 > 0).astype(int)
    return labels, rng.normal(size=n) + distance * labels


def _covariance(labels: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROCs and their covariance by the definition of DeLong (1988), from all pairs of films."""
    wins = [
        np.sign(values[labels == 1][:, None] - values[labels == 0]) / 2 + 0.5 for values in scores
    ]
    of_positive = np.stack([matrix.mean(axis=1) for matrix in wins])
    of_negative = np.stack([matrix.mean(axis=0) for matrix in wins])
    m, n = wins[0].shape
    covariance = np.atleast_2d(np.cov(of_positive)) / m + np.atleast_2d(np.cov(of_negative)) / n
    return np.array([matrix.mean() for matrix in wins]), covariance


@given(PAIRED)
def test_delong_by_midranks_equals_delong_by_pairs_with_ties(films):
    labels, first, second = np.array(films).T
    areas, covariance = _covariance(labels, first, second)
    assert delong(labels, first) == pytest.approx((areas[0], covariance[0, 0]), abs=1e-12)
    assert delong(labels, first)[0] == pytest.approx(roc_auc_score(labels, first), abs=1e-12)
    difference, low, high, p = delong_test(labels, first, second, 0.9)
    assert difference == pytest.approx(areas[1] - areas[0], abs=1e-12)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance > 1e-12:
        error = math.sqrt(variance)
        expected = scipy.stats.norm.interval(0.9, difference, error)
        assert (low, high) == pytest.approx(expected, abs=1e-9)
        assert p == pytest.approx(2 * scipy.stats.norm.sf(abs(difference) / error), abs=1e-9)
    else:
        assert math.isnan(low) and math.isnan(p)


def test_delong_equals_rs_proc():
    """The expected values come from pROC 1.18.0 in R 4.2.2, with ties within and between classes.

    a <- roc(labels, first, levels = c(0, 1), direction = "<"); b the same of `second`
    auc(a); auc(b); var(a); var(b); cov(a, b); ci.auc(a); ci.auc(b, conf.level = 0.9)
    roc.test(a, b, method = "delong", paired = TRUE), which takes a - b: p.value, conf.int
    """
    labels = np.repeat([0, 1], [8, 12])
    first = np.array([1, 2, 2, 3, 4, 4, 5, 7, 3, 4, 5, 5, 6, 6, 7, 8, 8, 9, 9, 10])
    second = np.array([3, 1, 4, 2, 6, 5, 5, 3, 2, 4, 6, 3, 7, 5, 9, 6, 8, 7, 10, 8])
    near = {"abs": 1e-14}  # R prints this many digits
    assert delong(labels, first) == pytest.approx((0.864583333333333, 0.00691907918470418), **near)
    assert delong(labels, second) == pytest.approx((0.8125, 0.00922731782106782), **near)
    assert delong_interval(labels, first) == pytest.approx((0.701551564143513, 1), **near)
    limits = (0.654497122400736, 0.970502877599264)
    assert delong_interval(labels, second, 0.9) == pytest.approx(limits, **near)
    tested = delong_test(labels, first, second)
    assert -tested.difference == pytest.approx(0.864583333333333 - 0.8125, **near)
    assert (-tested.high, -tested.low) == pytest.approx(
        (-0.122493130704348, 0.226659797371014), **near
    )
    assert tested.p == pytest.approx(0.558724033158083, **near)
    # The variance of the difference is var(a) + var(b) - 2 cov(a, b).
    error = (tested.high - tested.low) / 2 / scipy.stats.norm.ppf(0.975)
    covariance = (0.00691907918470418 + 0.00922731782106782 - error**2) / 2
    assert covariance == pytest.approx(0.00410635371572872, **near)


def test_delong_interval_is_the_area_and_its_normal_error():
    labels, scores = _films(0)
    areas, covariance = _covariance(labels, scores)
    expected = scipy.stats.norm.interval(0.9, loc=areas[0], scale=covariance[0, 0] ** 0.5)
    np.testing.assert_allclose(delong_interval(labels, scores, 0.9), expected, rtol=1e-9)


def test_delong_stays_within_zero_and_one_and_is_undefined_without_variance():
    nearly = delong_interval([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6])
    assert 0 < nearly.low < nearly.high == 1
    for labels, scores in (
        ([0, 0, 1, 1], [1, 2, 3, 4]),  # separated perfectly
        ([0, 1, 1], [1, 2, 3]),  # one film in a class
        ([1, 1, 1], [1, 2, 3]),
    ):
        assert np.isnan(delong_interval(labels, scores)).all()
        assert math.isnan(delong_test(labels, scores, scores).p)


def test_a_network_does_not_differ_from_itself_on_another_scale():
    labels, scores = _films(1)
    result = delong_test(labels, scores, 1 / (1 + np.exp(-scores)))
    assert result.difference == 0 and math.isnan(result.p)


def test_swapping_the_networks_changes_the_sign_of_the_difference():
    labels, first = _films(2)
    second = first + _films(3)[1] / 2
    one, other = delong_test(labels, first, second), delong_test(labels, second, first)
    change = auroc(labels, second) - auroc(labels, first)
    assert one.difference == pytest.approx(change, abs=1e-12) and abs(change) > 0.01
    assert other == pytest.approx((-one.difference, -one.high, -one.low, one.p), rel=1e-12)


def test_equal_networks_differ_as_often_as_the_level_allows():
    rejected = 0
    for seed in range(300):
        labels, shared = _films(100 + seed, n=120)
        first, second = shared + np.random.default_rng([seed]).normal(size=(2, 120))
        rejected += delong_test(labels, first, second).p < 0.05
    assert 5 <= rejected <= 27  # 15 are expected, within three standard deviations


def test_a_hundred_thousand_films_are_ranked_and_not_paired():
    labels, scores = _films(4, n=100_000)  # all 2 billion pairs would not fit into memory
    difference, low, high, _ = delong_test(labels, scores, -scores)
    assert low < difference < high < 0
