import itertools
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from pneumojax.stats.intervals import UNDEFINED, koopman, percentile_interval, wilson


def _is_nan(interval: tuple[float, float]) -> bool:
    return bool(np.isnan(interval[0]) and np.isnan(interval[1]))


@given(st.integers(1, 600), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_equals_scipys(n, share, level):
    k = round(share * n)
    theirs = scipy.stats.binomtest(k, n).proportion_ci(level, method="wilson")
    np.testing.assert_allclose(wilson(k, n, level), (theirs.low, theirs.high), atol=1e-12)


def test_wilson_contains_its_proportion_even_at_the_ends():
    assert wilson(0, 20).low == 0 < wilson(0, 20).high
    assert wilson(20, 20).low < wilson(20, 20).high == 1
    assert _is_nan(wilson(0, 0))


def test_a_few_undefined_resamples_are_left_out_and_many_leave_no_interval():
    values = np.linspace(0, 1, 101)
    assert percentile_interval(values, 0.9) == pytest.approx((0.05, 0.95))
    assert percentile_interval(np.append(values, [np.nan] * 5), 0.9) == pytest.approx((0.05, 0.95))
    assert _is_nan(percentile_interval(np.append(values, [np.nan] * 6), 0.9))


def _chi_square(ratio: float, k1: int, n1: int, k2: int, n2: int) -> float:
    """Pearson's chi-square at the maximum-likelihood proportions of that ratio, found by search."""

    def surprise(p2: float) -> float:
        ways = (scipy.stats.binom(n1, ratio * p2), k1), (scipy.stats.binom(n2, p2), k2)
        return -sum(law.logpmf(k) for law, k in ways)

    top = min(1.0, 1 / ratio)
    p2 = scipy.optimize.minimize_scalar(
        surprise, bounds=(0, top), method="bounded", options={"xatol": 1e-12}
    ).x
    pairs = ((k1, n1, ratio * p2), (k2, n2, p2))
    return sum((k - n * p) ** 2 / (n * p * (1 - p)) for k, n, p in pairs)


@pytest.mark.parametrize(
    "counts", [(36, 40, 16, 80), (341, 387, 1, 134), (0, 20, 7, 30), (12, 30, 0, 40), (9, 9, 3, 8)]
)
def test_koopmans_limits_are_where_the_chi_square_test_just_rejects(counts):
    low, high = koopman(*counts, 0.9)
    critical = scipy.stats.chi2(1).ppf(0.9)
    k1, _, k2, _ = counts
    assert (low == 0) == (k1 == 0) and (high == math.inf) == (k2 == 0)
    for limit in (low, high):
        if 0 < limit < math.inf:
            assert _chi_square(limit, *counts) == pytest.approx(critical, rel=1e-4)


@pytest.mark.parametrize("counts", [(36, 40, 16, 80), (341, 387, 1, 134), (12, 30, 29, 40)])
def test_koopman_and_wilson_equal_statsmodels(counts):
    theirs = confint_proportions_2indep(
        *counts, method="score", compare="ratio", alpha=0.1, correction=False
    )
    assert koopman(*counts, 0.9) == pytest.approx(theirs, rel=1e-9)
    wilsons = proportion_confint(*counts[:2], alpha=0.1, method="wilson")
    assert wilson(*counts[:2], 0.9) == pytest.approx(wilsons, rel=1e-9)


def test_koopmans_interval_contains_its_ratio_and_is_inverted_with_it():
    for n1, n2 in itertools.product((1, 2, 5), (1, 3, 14)):
        for k1, k2 in itertools.product(range(n1 + 1), range(n2 + 1)):
            low, high = koopman(k1, n1, k2, n2)
            if k1 + k2:
                assert 0 <= low <= (k1 * n2 / (k2 * n1) if k2 else math.inf) <= high
                assert low < high and (k1 == 0) == (low == 0)
                turned = [1 / limit if limit else math.inf for limit in (high, low)]
                assert koopman(k2, n2, k1, n1) == pytest.approx(turned, rel=1e-9)


def test_koopmans_interval_survives_rounding_next_to_one():
    low, high = koopman(*[10**9] * 4)
    assert 1 - 1e-6 < low <= 1 <= high < 1 + 1e-6


def test_koopmans_interval_needs_an_observation():
    low, high = koopman(36, 40, 16, 80)
    assert low < (36 / 40) / (16 / 80) < high
    assert koopman(0, 5, 0, 7) is UNDEFINED and koopman(0, 0, 3, 7) is UNDEFINED
