import numpy as np
import pytest
import scipy.optimize
import sklearn.metrics
import statsmodels.api
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from pneumojax.stats.calibration import (
    COLDEST,
    HOTTEST,
    calibration_metrics,
    fit_temperature,
    reliability,
)
from pneumojax.stats.metrics import log_loss, probability


def _films(seed: int, n: int = 500, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from probabilities that are calibrated at this temperature."""
    rng = np.random.default_rng([seed])
    calibrated = rng.normal(0.7, 2, n)
    return (rng.random(n) < probability(calibrated)).astype(int), temperature * calibrated


def _figures(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    return {name: float(v[0]) for name, v in calibration_metrics(labels, logits).items()}


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_of_simulated_films_is_recovered(temperature):
    labels, logits = _films(0, n=20_000, temperature=temperature)
    fitted = fit_temperature(labels, logits)
    assert fitted == pytest.approx(temperature, rel=0.05)
    assert log_loss(labels, logits / fitted) <= log_loss(labels, logits)
    assert _figures(labels, logits / fitted)["calibration_slope"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_the_temperature_has_the_least_loss_of_all(scale):
    labels, logits = _films(1)

    def loss(log_temperature):
        z = logits / np.exp(log_temperature)
        return np.mean(np.logaddexp(0, z) - labels * z)

    best = scipy.optimize.minimize_scalar(loss, bounds=(-5, 5), options={"xatol": 1e-10}).x
    expected = np.clip(scale * np.exp(best), COLDEST, HOTTEST)
    assert fit_temperature(labels, scale * logits) == pytest.approx(expected, rel=1e-5)


def test_films_without_a_mistake_have_no_temperature_and_a_wrong_network_the_highest():
    labels, logits = np.repeat([0, 1], 30), np.linspace(-3, 3, 60)
    assert np.isnan(fit_temperature(labels, logits))
    logits[29] = 0.01  # one small mistake asks for a tiny temperature, which is clipped
    assert fit_temperature(labels, logits) == COLDEST
    assert fit_temperature(labels, -logits) == HOTTEST
    assert np.isnan(fit_temperature([1, 1], [1.0, -2.0]))
    assert np.isnan(fit_temperature([0, 1], [0.0, 0.0]))


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(-50, 50, width=32)), max_size=40))
def test_a_temperature_never_raises_the_loss_it_is_fitted_on(films):
    labels, logits = np.array(films, dtype=float).reshape(-1, 2).T
    fitted = fit_temperature(labels.astype(int), logits)
    if not np.isnan(fitted):
        before = log_loss(labels.astype(int), logits)
        assert COLDEST <= fitted <= HOTTEST
        assert log_loss(labels.astype(int), logits / fitted) <= before * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_slope_and_intercept_equal_sklearns_logistic_regression(seed):
    labels, logits = _films(seed, temperature=1.7)
    ours = _figures(labels, logits + 0.4)
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit((logits + 0.4)[:, None], labels)
    assert ours["calibration_slope"] == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    assert ours["calibration_intercept"] == pytest.approx(theirs.intercept_[0], abs=1e-4)
    # The shifted probabilities add up to the number of films of class 1.
    shifted = probability(logits + 0.4 + ours["calibration_in_the_large"])
    assert shifted.sum() == pytest.approx(labels.sum(), abs=1e-6)


def test_slope_and_both_intercepts_equal_statsmodels_binomial_models():
    labels, logits = _films(7, temperature=0.6)
    ours = _figures(labels, logits - 0.3)
    binomial = statsmodels.api.families.Binomial()
    columns = statsmodels.api.add_constant(logits - 0.3)
    both = statsmodels.api.GLM(labels, columns, family=binomial).fit().params
    shift = statsmodels.api.GLM(labels, columns[:, :1], family=binomial, offset=columns[:, 1])
    found = [ours[f"calibration_{name}"] for name in ("intercept", "slope", "in_the_large")]
    assert found == pytest.approx([*both, *shift.fit().params], abs=1e-6)


def test_the_diagram_and_its_error_equal_sklearns_quantile_bins():
    labels, logits = _films(8, n=400)
    observed, promised = calibration_curve(
        labels, probability(logits), n_bins=10, strategy="quantile"
    )
    bins = reliability(labels, probability(logits))
    np.testing.assert_allclose([b.observed for b in bins], observed, atol=1e-12)
    np.testing.assert_allclose([b.mean_probability for b in bins], promised, atol=1e-12)
    error = np.abs(observed - promised).mean()  # forty films in each bin
    assert _figures(labels, logits)["calibration_error"] == pytest.approx(error, abs=1e-12)


def test_bins_that_ties_leave_empty_are_dropped():
    labels, logits = np.array([1, 0, 0, 1, 1, 1, 1, 0]), np.repeat([-1.0, 2.0], [3, 5])
    p = probability([-1.0, 2.0])
    gaps = abs(1 / 3 - p[0]), abs(4 / 5 - p[1])
    expected = (3 * gaps[0] + 5 * gaps[1]) / 8
    assert _figures(labels, logits)["calibration_error"] == pytest.approx(expected, abs=1e-12)
    assert [b.films for b in reliability(labels, probability(logits))] == [3, 5]


def test_brier_and_log_loss_equal_sklearns():
    labels, logits = _films(3)
    ours = _figures(labels, logits)
    p = probability(logits)
    assert ours["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(labels, p))
    assert ours["log_loss"] == pytest.approx(sklearn.metrics.log_loss(labels, p))


def test_weights_count_films_and_resamples_that_cannot_be_fitted_are_undefined():
    labels, logits = _films(4, n=60)
    weights = np.random.default_rng([4]).integers(0, 4, (4, 60)).astype(float)
    weights[3] = labels  # one class
    weights[2] = (labels == 1) == (logits > 0)  # separated
    together = calibration_metrics(labels, logits, weights)
    for i in range(2):
        times = weights[i].astype(int)
        alone = _figures(labels.repeat(times), logits.repeat(times))
        for name in alone.keys() - {"calibration_error"}:  # the bins come from all films
            assert together[name][i] == pytest.approx(alone[name], rel=1e-6, abs=1e-8), name
    assert np.isnan(together["calibration_slope"]).tolist() == [False, False, True, True]
    assert np.isnan(together["calibration_in_the_large"]).tolist() == [False, False, False, True]


def test_calibrated_probabilities_have_slope_one_and_little_error():
    right, sure = _films(5, n=20_000), _films(5, n=20_000, temperature=3)
    ours, theirs = _figures(*right), _figures(*sure)
    assert ours["calibration_slope"] == pytest.approx(1, abs=0.05)
    assert ours["calibration_intercept"] == pytest.approx(0, abs=0.05)
    assert ours["calibration_error"] < 0.015 < 0.05 < theirs["calibration_error"]
    assert theirs["calibration_slope"] == pytest.approx(1 / 3, abs=0.02)


def test_the_calibration_error_is_the_mean_gap_of_the_reliability_diagram():
    labels, logits = _films(6, n=403)
    bins = reliability(labels, probability(logits))
    assert sum(b.films for b in bins) == 403 and {b.films for b in bins} <= {40, 41}
    gap = sum(b.films * abs(b.observed - b.mean_probability) for b in bins) / 403
    assert _figures(labels, logits)["calibration_error"] == pytest.approx(gap, abs=1e-12)
    for one, other in zip(bins, bins[1:], strict=False):
        assert one.lowest <= one.mean_probability <= one.highest < other.lowest
    assert all(b.interval.low <= b.observed <= b.interval.high for b in bins)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-2, 2)), min_size=1, max_size=50))
def test_films_of_one_probability_share_a_bin_and_their_order_is_irrelevant(films):
    labels, logits = np.array(films).T
    bins = reliability(labels, probability(logits))
    assert len({b.lowest for b in bins}) == len(bins) <= 5
    assert all(one.highest < other.lowest for one, other in zip(bins, bins[1:], strict=False))
    assert bins == reliability(labels[::-1], probability(logits[::-1]))


def test_calibration_without_films_is_refused():
    with pytest.raises(ValueError, match="at least one film"):
        calibration_metrics([], [])
    assert reliability([], []) == []
