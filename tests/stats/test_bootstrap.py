import time

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from pneumojax.stats.bootstrap import (
    resample,
    weighted_auroc,
    weighted_confusion,
)
from pneumojax.stats.delong import delong_interval
from pneumojax.stats.intervals import Interval, percentile_interval, wilson
from pneumojax.stats.metrics import auroc, confusion
from tests.support.resampling import patient_bootstrap


def _films(seed: int, n: int = 150, distance: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two normal classes `distance` apart, whose AUROC is Phi(distance / sqrt 2)."""
    rng = np.random.default_rng([seed])
    labels = (np.arange(n) % 3 > 0).astype(int)
    return labels, rng.normal(size=n) + distance * labels


def _f1(truth: np.ndarray, called: np.ndarray, c: int) -> float:
    """The Dice overlap of the films of class c and the films called c."""
    both = np.sum((truth == c) & (called == c))
    return 2 * both / (np.sum(truth == c) + np.sum(called == c))


def _is_nan(interval: Interval) -> bool:
    return bool(np.isnan(interval.low) and np.isnan(interval.high))


def test_delong_agrees_with_the_bootstrap():
    labels, scores = _films(1, n=600)
    drawn = patient_bootstrap(labels, scores > 0, scores, np.arange(600), seed=3)["auroc"]
    np.testing.assert_allclose(delong_interval(labels, scores), drawn, atol=0.006)


def test_weighted_auroc_equals_sklearns_with_those_weights_and_films_repeated():
    labels, scores = _films(2, n=80)
    scores = np.round(scores, 1)  # rounding makes ties
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
                "positive_predictive_value": hit[called == 1].mean(),
                "negative_predictive_value": hit[called == 0].mean(),
                "positive_likelihood_ratio": called[truth == 1].mean() / called[truth == 0].mean(),
                "negative_likelihood_ratio": (1 - called[truth == 1].mean())
                / (1 - called[truth == 0].mean()),
                "mcc": np.corrcoef(truth, called)[0, 1],
                "balanced_accuracy": (hit[truth == 1].mean() + hit[truth == 0].mean()) / 2,
                "weighted_precision": sum(
                    hit[called == c].mean() * (truth == c).mean() for c in (0, 1)
                ),
                "f1_negative": _f1(truth, called, 0),
                "f1_positive": _f1(truth, called, 1),
                "weighted_f1": sum(_f1(truth, called, c) * (truth == c).mean() for c in (0, 1)),
                "auroc": auroc(truth, scores[drawn]),
            }
        )
    assert ours.keys() == plain[0].keys()
    for name, interval in ours.items():
        expected = np.quantile([row[name] for row in plain], [0.025, 0.975])
        slack = 0.05 * np.ptp(expected) + 0.01  # both bounds come from a few thousand draws
        np.testing.assert_allclose(interval, expected, atol=slack, err_msg=name)


def test_several_films_of_a_patient_widen_the_interval():
    labels, scores = _films(4, n=60)
    labels, scores = labels.repeat(4), scores.repeat(4)  # four equal films of each patient
    calls = (scores > 0.5).astype(int)
    by_patient = patient_bootstrap(labels, calls, scores, np.arange(60).repeat(4))
    by_film = patient_bootstrap(labels, calls, scores, np.arange(240))
    alone = patient_bootstrap(labels[::4], calls[::4], scores[::4], np.arange(60))
    for name, (low, high) in by_patient.items():
        scale = np.log if name.endswith("ratio") else np.array  # ratios are skewed
        ratio = np.diff(scale((low, high))) / np.diff(scale(by_film[name]))
        assert 1.6 < ratio < 2.4, name  # the expected ratio is the square root of four
        np.testing.assert_allclose((low, high), alone[name], atol=1e-12)


def test_patients_with_several_films_are_resampled_as_scipy_would():
    labels, scores = _films(11, n=90)
    patients = np.sort(np.random.default_rng([11]).integers(0, 40, 90))  # with 1 to 6 films each
    calls = (scores > 0.5).astype(int)
    films = [np.flatnonzero(patients == p) for p in np.unique(patients)]

    def of_drawn(figure):
        def statistic(drawn):
            chosen = np.concatenate([films[i] for i in drawn])
            return figure(labels[chosen], calls[chosen], scores[chosen])

        return scipy.stats.bootstrap(
            (np.arange(len(films)),),
            statistic,
            n_resamples=1500,
            vectorized=False,
            method="percentile",
            rng=np.random.default_rng([1]),
        ).confidence_interval

    ours = patient_bootstrap(labels, calls, scores, patients, resamples=4000)
    expected = {
        "accuracy": of_drawn(lambda truth, called, _: np.mean(truth == called)),
        "sensitivity": of_drawn(lambda truth, called, _: called[truth == 1].mean()),
        "auroc": of_drawn(
            lambda truth, _, values: (values[truth == 1][:, None] > values[truth == 0]).mean()
        ),
    }
    for name, theirs in expected.items():
        assert ours[name] == pytest.approx((theirs.low, theirs.high), abs=0.02), name


def test_patients_are_told_apart_by_their_key_and_not_by_their_order():
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


def test_a_bootstrap_without_information_is_nan():
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
        "f1_negative",
        "positive_predictive_value",  # always 1
        "negative_predictive_value",  # always 0
        "positive_likelihood_ratio",
        "negative_likelihood_ratio",
        "mcc",
        "weighted_precision",
        "auroc",
    }


def test_intervals_cover_the_truth_about_as_often_as_their_level():
    truth = scipy.stats.norm.cdf(1.2 / 2**0.5)
    hits = {"delong": 0, "bootstrap": 0, "wilson": 0}
    for seed in range(200):
        labels, scores = _films(100 + seed)
        calls = (scores > 0.6).astype(int)
        drawn = patient_bootstrap(labels, calls, scores, np.arange(150), resamples=400, seed=seed)
        intervals = {"delong": delong_interval(labels, scores), "bootstrap": drawn["auroc"]}
        for name, (low, high) in intervals.items():
            hits[name] += low <= truth <= high
        # The threshold is halfway between the classes, so each call is right with one probability.
        low, high = wilson(int(np.sum(calls == labels)), 150)
        hits["wilson"] += low <= scipy.stats.norm.cdf(0.6) <= high
    assert all(0.90 <= count / 200 <= 0.99 for count in hits.values()), hits


@pytest.mark.parametrize("n", [624, 5216])
def test_two_thousand_resamples_take_less_than_two_seconds(n):
    labels, scores = _films(8, n=n)
    began = time.process_time()
    patient_bootstrap(labels, scores > 0.5, scores, np.arange(n), resamples=2000)
    assert time.process_time() - began < 2  # CPU time of all cores


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="mismatch"):
        patient_bootstrap([0, 1], [0, 1], [0.1, 0.2], ["a", "b", "c"])


def test_resampled_confusion_matrices_are_those_of_films_repeated():
    labels, scores = _films(9, n=40)
    calls = (scores > 0.5).astype(int)
    weights = np.random.default_rng([9]).integers(0, 4, (5, 40))
    together = weighted_confusion(labels, calls, weights.astype(float))
    for i, times in enumerate(weights):
        alone = confusion(labels.repeat(times), calls.repeat(times))
        assert [float(getattr(together, c)[i]) for c in ("tn", "fp", "fn", "tp")] == [
            alone.tn,
            alone.fp,
            alone.fn,
            alone.tp,
        ]


def test_the_difference_of_two_networks_is_resampled_in_pairs():
    labels, scores = _films(10, n=300)
    other = scores + 0.2 * np.random.default_rng([10]).normal(size=300)

    def figures(weights):
        assert (np.ptp(weights.reshape(len(weights), 100, 3), axis=2) == 0).all()  # whole patients
        first, second = (weighted_auroc(labels, s, weights) for s in (scores, other))
        return {"first": first, "second": second, "difference": second - first}

    drawn = resample(figures, np.arange(300) // 3, resamples=500, seed=1)
    assert {values.shape for values in drawn.values()} == {(500,)}
    np.testing.assert_array_equal(drawn["difference"], drawn["second"] - drawn["first"])
    assert np.std(drawn["difference"]) < np.std(drawn["first"]) / 2


def test_intervals_of_a_difference_cover_zero_as_often_as_their_level():
    hits = 0
    for seed in range(200):
        labels, shared = _films(300 + seed)
        both = shared + 0.7 * np.random.default_rng([seed]).normal(size=(2, 150))

        def difference(weights, labels=labels, both=both):
            first, second = (weighted_auroc(labels, scores, weights) for scores in both)
            return {"auroc": second - first}

        drawn = resample(difference, np.arange(150), resamples=300, seed=seed)["auroc"]
        low, high = percentile_interval(drawn)
        hits += low <= 0 <= high
    assert 0.90 <= hits / 200 <= 0.99  # 0.95 within three standard deviations of 200 draws


def test_the_draws_do_not_depend_on_the_size_of_blocks(monkeypatch):
    whole = resample(lambda w: {"first": w[:, 0]}, np.arange(50), resamples=100)["first"]
    monkeypatch.setattr("pneumojax.stats.bootstrap._BLOCK", 50 * 7)
    blocks = resample(lambda w: {"first": w[:, 0]}, np.arange(50), resamples=100)["first"]
    np.testing.assert_array_equal(whole, blocks)
