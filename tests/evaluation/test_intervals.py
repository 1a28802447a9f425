import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pneumojax.evaluation.intervals import (
    Interval,
    delong,
    delong_interval,
    patient_bootstrap,
    percentile_interval,
    weighted_auroc,
    wilson,
)
from pneumojax.evaluation.metrics import auroc


def _films(seed: int, n: int = 150, distance: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """Two equal normal classes `distance` apart: their AUROC is Phi(distance / sqrt 2)."""
    rng = np.random.default_rng([seed])
    labels = (np.arange(n) % 3 > 0).astype(int)
    return labels, rng.normal(size=n) + distance * labels


def _is_nan(interval: Interval) -> bool:
    return bool(np.isnan(interval.low) and np.isnan(interval.high))


def _f1(truth: np.ndarray, called: np.ndarray, c: int) -> float:
    """Dice's overlap of the films of class c with those called c."""
    both = np.sum((truth == c) & (called == c))
    return 2 * both / (np.sum(truth == c) + np.sum(called == c))


def _structural_components(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """AUROC and DeLong's variance straight from the definition, every pair of films compared."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    of_positive, of_negative = wins.mean(axis=1), wins.mean(axis=0)
    spread_positive = np.sum((of_positive - wins.mean()) ** 2) / (positive.size - 1)
    spread_negative = np.sum((of_negative - wins.mean()) ** 2) / (negative.size - 1)
    return wins.mean(), spread_positive / positive.size + spread_negative / negative.size


@settings(deadline=None)
@given(st.integers(1, 600), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_equals_scipys(n, share, level):
    k = round(share * n)
    theirs = scipy.stats.binomtest(k, n).proportion_ci(level, method="wilson")
    np.testing.assert_allclose(wilson(k, n, level), (theirs.low, theirs.high), atol=1e-12)


def test_wilson_contains_its_proportion_even_at_the_ends():
    assert wilson(0, 20).low == 0 < wilson(0, 20).high
    assert wilson(20, 20).low < wilson(20, 20).high == 1
    assert _is_nan(wilson(0, 0))


@settings(deadline=None)
@given(
    st.lists(st.integers(-5, 5), min_size=2, max_size=30),
    st.lists(st.integers(-5, 5), min_size=2, max_size=30),
)
def test_delong_by_midranks_equals_delong_by_pairs_with_ties(negative, positive):
    labels = np.repeat([0, 1], [len(negative), len(positive)])
    scores = np.array(negative + positive)
    np.testing.assert_allclose(
        delong(labels, scores), _structural_components(labels, scores), atol=1e-12
    )
    assert delong(labels, scores)[0] == pytest.approx(auroc(labels, scores), abs=1e-12)


def test_delong_interval_is_the_area_and_its_normal_error():
    labels, scores = _films(0)
    area, variance = _structural_components(labels, scores)
    expected = scipy.stats.norm.interval(0.9, loc=area, scale=variance**0.5)
    np.testing.assert_allclose(delong_interval(labels, scores, 0.9), expected, rtol=1e-9)


def test_delong_agrees_with_the_bootstrap():
    labels, scores = _films(1, n=600)
    drawn = patient_bootstrap(labels, scores > 0, scores, np.arange(600), seed=3)["auroc"]
    np.testing.assert_allclose(delong_interval(labels, scores), drawn, atol=0.006)


def test_delong_stays_within_zero_and_one_and_says_nothing_without_variance():
    nearly = delong_interval([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6])
    assert 0 < nearly.low < nearly.high == 1
    assert _is_nan(delong_interval([0, 0, 1, 1], [1, 2, 3, 4]))  # separated perfectly
    assert _is_nan(delong_interval([0, 1, 1], [1, 2, 3]))  # one film of a class
    assert _is_nan(delong_interval([1, 1, 1], [1, 2, 3]))


def test_weighted_auroc_equals_sklearns_with_those_weights_and_films_repeated():
    labels, scores = _films(2, n=80)
    scores = np.round(scores, 1)  # ties
    weights = np.random.default_rng([2]).integers(0, 4, (5, 80)).astype(float)
    for row, ours in zip(weights, weighted_auroc(labels, scores, weights), strict=True):
        assert ours == pytest.approx(roc_auc_score(labels, scores, sample_weight=row), abs=1e-12)
        times = row.astype(int)
        repeated = auroc(labels.repeat(times), scores.repeat(times))
        assert ours == pytest.approx(repeated, abs=1e-12)
    assert np.isnan(weighted_auroc(labels, scores, labels[None].astype(float))).all()


def test_with_one_film_each_the_patient_bootstrap_is_the_plain_bootstrap():
    labels, scores = _films(3, n=120)
    calls = (scores > 0.5).astype(int)
    ours = patient_bootstrap(labels, calls, scores, [f"p{i}" for i in range(120)], resamples=4000)
    rng = np.random.default_rng([99])
    plain = []
    for _ in range(1500):
        drawn = rng.integers(120, size=120)
        truth, called = labels[drawn], calls[drawn]
        hit = truth == called
        plain.append(
            {
                "accuracy": hit.mean(),
                "sensitivity": hit[truth == 1].mean(),
                "specificity": hit[truth == 0].mean(),
                "balanced_accuracy": (hit[truth == 1].mean() + hit[truth == 0].mean()) / 2,
                "weighted_precision": sum(
                    hit[called == c].mean() * (truth == c).mean() for c in (0, 1)
                ),
                "f1_NORMAL": _f1(truth, called, 0),
                "f1_PNEUMONIA": _f1(truth, called, 1),
                "weighted_f1": sum(_f1(truth, called, c) * (truth == c).mean() for c in (0, 1)),
                "auroc": auroc(truth, scores[drawn]),
            }
        )
    assert ours.keys() == plain[0].keys()
    for name, interval in ours.items():
        expected = np.quantile([row[name] for row in plain], [0.025, 0.975])
        np.testing.assert_allclose(interval, expected, atol=0.015, err_msg=name)


def test_several_films_of_a_patient_widen_the_interval():
    labels, scores = _films(4, n=60)
    labels, scores = labels.repeat(4), scores.repeat(4)  # four equal films of each patient
    calls = (scores > 0.5).astype(int)
    by_patient = patient_bootstrap(labels, calls, scores, np.arange(60).repeat(4))
    by_film = patient_bootstrap(labels, calls, scores, np.arange(240))
    alone = patient_bootstrap(labels[::4], calls[::4], scores[::4], np.arange(60))
    for name, (low, high) in by_patient.items():
        ratio = (high - low) / (by_film[name].high - by_film[name].low)
        assert 1.6 < ratio < 2.4, name  # the square root of four
        np.testing.assert_allclose((low, high), alone[name], atol=1e-12)


def test_patients_are_told_apart_by_their_key_not_their_place():
    labels, scores = _films(5, n=90)
    keys = np.array([f"person{i // 3}" for i in range(90)])
    order = np.random.default_rng([5]).permutation(90)
    calls = (scores > 0.5).astype(int)
    sorted_films = patient_bootstrap(labels, calls, scores, keys)
    shuffled = patient_bootstrap(labels[order], calls[order], scores[order], keys[order])
    for name, interval in sorted_films.items():
        np.testing.assert_allclose(interval, shuffled[name], rtol=1e-12)


def test_the_bootstrap_is_a_function_of_its_seed():
    labels, scores = _films(6)
    calls = (scores > 0.5).astype(int)
    first, again, other = (
        patient_bootstrap(labels, calls, scores, np.arange(150), seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_bootstrap_that_can_say_nothing_says_nan():
    labels, scores = _films(7, n=30, distance=20)
    right = patient_bootstrap(labels, labels, scores, np.arange(30))
    assert all(_is_nan(interval) for interval in right.values())
    labels, scores = _films(7, n=30)
    calls = (scores > 0.5).astype(int)
    one_patient = patient_bootstrap(labels, calls, scores, ["p"] * 30)
    assert all(_is_nan(interval) for interval in one_patient.values())
    ones = patient_bootstrap(np.ones(30, int), calls, scores, np.arange(30))
    assert {name for name, interval in ones.items() if _is_nan(interval)} == {
        "specificity",
        "balanced_accuracy",
        "f1_NORMAL",
        "weighted_precision",
        "auroc",
    }


def test_a_few_undefined_resamples_are_left_out_and_many_leave_no_interval():
    values = np.linspace(0, 1, 101)
    assert percentile_interval(values, 0.9) == pytest.approx((0.05, 0.95))
    assert percentile_interval(np.append(values, [np.nan] * 5), 0.9) == pytest.approx((0.05, 0.95))
    assert _is_nan(percentile_interval(np.append(values, [np.nan] * 6), 0.9))


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    truth = scipy.stats.norm.cdf(1.2 / 2**0.5)
    hits = {"delong": 0, "bootstrap": 0, "wilson": 0}
    for seed in range(200):
        labels, scores = _films(100 + seed)
        calls = (scores > 0.6).astype(int)
        drawn = patient_bootstrap(labels, calls, scores, np.arange(150), resamples=400, seed=seed)
        intervals = {"delong": delong_interval(labels, scores), "bootstrap": drawn["auroc"]}
        for name, (low, high) in intervals.items():
            hits[name] += low <= truth <= high
        # Both classes are cut halfway: each call is right with one and the same chance.
        low, high = wilson(int(np.sum(calls == labels)), 150)
        hits["wilson"] += low <= scipy.stats.norm.cdf(0.6) <= high
    assert all(0.90 <= count / 200 <= 0.99 for count in hits.values()), hits


@pytest.mark.parametrize("n", [624, 5216])
def test_two_thousand_resamples_take_less_than_two_seconds(n):
    labels, scores = _films(8, n=n)
    began = time.process_time()
    patient_bootstrap(labels, scores > 0.5, scores, np.arange(n), resamples=2000)
    assert time.process_time() - began < 2  # of both cores together


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="2 labels, 2 calls, 3 patients"):
        patient_bootstrap([0, 1], [0, 1], [0.1, 0.2], ["a", "b", "c"])
