import json

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pneumojax.evaluation.audits import shortcuts as audited
from pneumojax.evaluation.audits.matched_pairs import CALIPER, pair_films
from pneumojax.evaluation.audits.shortcuts import softest_normal
from pneumojax.stats.delong import delong_interval

FILMS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30
)


def shortcuts(statistics, labels, logits, resamples):
    """The entry of metrics.json, in which None stands for what is undefined."""
    calls = np.zeros(len(labels), int)
    finding = audited.shortcuts(statistics, labels, logits, calls, resamples=resamples)
    return finding.record()["shortcuts"]


def _films(seed=0, n=240, blind=False):
    """Films, the normal ones sharper. Logits follow the label or, if `blind`, the sharpness."""
    rng = np.random.default_rng([seed])
    labels = (np.arange(n) % 3 > 0).astype(int)
    sharpness = rng.normal(size=n) - 1.5 * labels
    brightness = np.round(rng.normal(size=n), 1)
    statistics = {"sharpness": sharpness, "brightness": brightness, "width": np.full(n, 224.0)}
    logits = -sharpness if blind else 2 * labels + rng.normal(size=n)
    return statistics, labels, logits


def _row(result, name):
    (row,) = [row for row in result["statistics"] if row["name"] == name]
    return row


def test_each_statistic_has_its_direction_free_auroc_and_its_correlations():
    statistics, labels, logits = _films()
    result = shortcuts(statistics, labels, logits, resamples=100)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    row = _row(result, "sharpness")
    assert result["statistics"][0] == row and row["higher_in"] == "NORMAL"
    area = roc_auc_score(labels, -statistics["sharpness"])
    assert row["auroc"]["value"] == pytest.approx(area) and area > 0.7
    limits = delong_interval(labels, -statistics["sharpness"])
    assert (row["auroc"]["low"], row["auroc"]["high"]) == pytest.approx(limits)
    for name, films in (("all", labels >= 0), ("NORMAL", labels == 0), ("PNEUMONIA", labels == 1)):
        theirs = scipy.stats.spearmanr(statistics["brightness"][films], logits[films]).statistic
        assert _row(result, "brightness")["rank_correlation"][name] == pytest.approx(theirs)
    assert result["model"]["auroc"]["value"] == pytest.approx(roc_auc_score(labels, logits))


def test_a_statistic_that_all_films_share_says_nothing():
    row = _row(shortcuts(*_films(), resamples=10), "width")
    assert row["auroc"] == {"value": 0.5, "low": None, "high": None, "method": "delong"}
    assert row["higher_in"] is None and set(row["rank_correlation"].values()) == {None}
    assert row["auroc_in_pairs"] == 0.5


def test_a_network_that_sees_sharpness_alone_is_found_out_in_pairs():
    statistics, labels, logits = _films(blind=True)
    blind = shortcuts(statistics, labels, logits, resamples=300)
    seeing = shortcuts(*_films(), resamples=300)
    assert blind["model"]["auroc"]["value"] > 0.8
    for figure in ("auroc", "in_order"):
        assert blind["pairs"][figure]["low"] < 0.5 + 2 * CALIPER
        assert seeing["pairs"][figure]["low"] > 0.75
    assert _row(blind, "sharpness")["rank_correlation"]["NORMAL"] == pytest.approx(-1)
    assert abs(_row(seeing, "sharpness")["auroc_in_pairs"] - 0.5) < 0.05  # balanced


def test_figures_in_pairs_are_those_of_the_paired_films():
    statistics, labels, logits = _films(1)
    logits = np.round(logits)  # ties
    pairs = pair_films(labels, [statistics["sharpness"], statistics["brightness"]])
    found = shortcuts(statistics, labels, logits, resamples=300)["pairs"]
    assert found["pairs"] == len(pairs) > 20
    normal, ill = logits[pairs[:, 0]], logits[pairs[:, 1]]
    area = roc_auc_score(np.repeat([0, 1], len(pairs)), np.concatenate([normal, ill]))
    assert found["auroc"]["value"] == pytest.approx(area)
    order = np.where(ill == normal, 0.5, ill > normal)
    assert found["in_order"]["value"] == pytest.approx(order.mean())
    theirs = scipy.stats.bootstrap(
        (order,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng([1])
    ).confidence_interval
    ours = found["in_order"]["low"], found["in_order"]["high"]
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03)


@given(FILMS, st.sampled_from([0.05, 0.2, 1.0]))
def test_pairs_are_of_both_classes_within_the_caliper_and_no_film_is_in_two(films, caliper):
    labels, *statistics = np.array(films).T
    pairs = pair_films(labels, statistics, caliper)
    assert (labels[pairs] == [0, 1]).all()
    assert len(set(pairs.ravel().tolist())) == pairs.size
    places = np.stack([scipy.stats.rankdata(s) for s in statistics]) / labels.size
    distance = np.abs(places[:, pairs[:, 0]] - places[:, pairs[:, 1]]).max(axis=0)
    assert (distance <= caliper + 1e-9).all() and (np.diff(distance) >= -1e-9).all()
    # No further pair is possible.
    left = np.setdiff1d(np.arange(labels.size), pairs)
    for i in left[labels[left] == 0]:
        for j in left[labels[left] == 1]:
            assert np.abs(places[:, i] - places[:, j]).max() > caliper - 1e-9


def test_the_closest_two_are_paired_first_and_the_scale_of_a_statistic_is_irrelevant():
    labels, values = [0, 0, 1, 1], np.array([1.0, 2.0, 3.0, 9.0])
    assert pair_films(labels, [values], 0.25).tolist() == [[1, 2]]
    assert pair_films(labels, [values], 1.0).tolist() == [[1, 2], [0, 3]]
    statistics, labels, _ = _films(2)
    pairs = pair_films(labels, [statistics["sharpness"]])
    np.testing.assert_array_equal(pairs, pair_films(labels, [np.exp(statistics["sharpness"])]))


def test_one_class_or_no_pair_leaves_figures_undefined():
    statistics, labels, logits = _films(n=30)
    result = shortcuts(statistics, np.ones(30, int), logits, resamples=10)
    assert result["pairs"]["pairs"] == 0 and result["pairs"]["auroc"]["value"] is None
    assert _row(result, "sharpness")["auroc"]["value"] is None
    assert _row(result, "sharpness")["higher_in"] is None
    assert pair_films(labels, [labels * 1.0], 0.05).shape == (0, 2)


def test_the_softest_third_of_the_normal_films_is_counted_alone():
    labels = np.array([0] * 9 + [1] * 5)
    sharpness = np.array([5, 1, 9, 2, 8, 3, 7, 6, 4, 0, 0, 0, 0, 0])
    calls = np.zeros(14, int)
    calls[[1, 2, 4]] = 1  # film 1 alone is among the softest, which are 1, 3 and 5
    found = softest_normal(sharpness, labels, calls)
    assert found.n == 3 and found.value == pytest.approx(2 / 3)
    assert softest_normal(sharpness[9:], labels[9:], calls[9:]).n == 0
