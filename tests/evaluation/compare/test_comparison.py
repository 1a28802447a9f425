import time

import numpy as np
import pytest

from pneumojax.evaluation.compare.comparison import compare_networks
from pneumojax.stats.delong import delong_test
from pneumojax.stats.threshold_metrics import mcnemar
from tests.support.resampling import patient_bootstrap


def _networks(seed, n=240, noise=(1.0, 0.4)):
    """Labels, and two networks that see the same signal, each with its own noise."""
    rng = np.random.default_rng([seed])
    labels = (np.arange(n) % 4 > 0).astype(int)
    truth = 1.5 * labels + rng.normal(size=n) - 0.7
    logits = {name: truth + s * rng.normal(size=n) for name, s in zip("AB", noise, strict=False)}
    probabilities = {name: 1 / (1 + np.exp(-z)) for name, z in logits.items()}
    calls = {name: (p >= 0.5).astype(int) for name, p in probabilities.items()}
    return labels, probabilities, calls


@pytest.fixture(scope="module")
def compared():
    labels, probabilities, calls = _networks(0)
    patients = [f"p{i // 2}" for i in range(240)]
    return (
        labels,
        probabilities,
        calls,
        patients,
        compare_networks(labels, probabilities, calls, patients),
    )


def test_each_network_has_the_metrics_that_it_has_alone(compared):
    labels, probabilities, calls, patients, result = compared
    assert (result.n, result.patients, result.prevalence) == (240, 120, 0.75)
    for name in "AB":
        alone = patient_bootstrap(labels, calls[name], probabilities[name], patients)
        alone["f1_PNEUMONIA"] = alone["f1_positive"]
        found = result.networks[name].estimates
        for metric in found.keys() - {"average_precision", "brier"}:
            assert found[metric].bootstrap == pytest.approx(alone[metric]), metric
        assert found["auroc"].method == "delong"
        assert found["brier"].method == "patient bootstrap"
        assert all(e.low < e.value < e.high for e in found.values())
        assert found["brier"].value == pytest.approx(np.mean((probabilities[name] - labels) ** 2))
        rows = result.networks[name].predictive_values
        assert [row.prevalence for row in rows] == [0.05, 0.2, 0.5]
        assert all(row.positive_predictive_value.low > 0 for row in rows)


def test_a_pair_has_differences_and_both_tests(compared):
    labels, probabilities, calls, _, result = compared
    (pair,) = result.pairs
    assert (pair.first, pair.second) == ("A", "B")
    assert tuple(pair.differences) == result.metrics
    first, second = (result.networks[name].estimates for name in "AB")
    for metric, row in pair.differences.items():
        change = second[metric].value - first[metric].value
        assert row.difference == pytest.approx(change, abs=1e-12)
        assert row.low < row.difference < row.high
    assert pair.delong == delong_test(labels, probabilities["A"], probabilities["B"])
    ill = labels == 1
    only = mcnemar(labels[ill], calls["A"][ill], calls["B"][ill])
    assert pair.mcnemar["sensitivity"] == only
    counts = [pair.mcnemar[name].only_first_right for name in ("sensitivity", "specificity")]
    assert sum(counts) == pair.mcnemar["accuracy"].only_first_right


def test_the_bootstrap_of_the_difference_agrees_with_delongs_where_films_are_independent():
    labels, probabilities, calls = _networks(1, n=600)
    (pair,) = compare_networks(labels, probabilities, calls, None).pairs
    drawn, formula = pair.differences["auroc"], pair.delong
    assert (drawn.low, drawn.high) == pytest.approx((formula.low, formula.high), abs=4e-3)


def test_equal_networks_do_not_differ_and_have_no_interval():
    labels, probabilities, calls = _networks(2)
    twice = {"A": probabilities["A"], "B": probabilities["A"]}
    result = compare_networks(labels, twice, {"A": calls["A"], "B": calls["A"]}, None)
    (pair,) = result.pairs
    for row in pair.differences.values():
        assert row.difference == 0 and np.isnan([row.low, row.high]).all()
    assert np.isnan(pair.delong.p) and pair.mcnemar["accuracy"].p == 1
    assert result.bootstrap.unit == "film" and result.patients is None


def test_every_pair_of_three_is_compared_even_on_films_of_one_class():
    _, probabilities, calls = _networks(3, n=40)
    probabilities["C"], calls["C"] = probabilities["A"] ** 2, calls["A"]
    result = compare_networks(np.ones(40, int), probabilities, calls, None, resamples=50)
    pairs = [(pair.first, pair.second) for pair in result.pairs]
    assert pairs == [("A", "B"), ("A", "C"), ("B", "C")]
    pair = result.pairs[0]
    undefined = (pair.differences["specificity"].difference, pair.delong.p)
    assert np.isnan([result.networks["A"].estimates["auroc"].value, *undefined]).all()


def test_films_of_two_networks_are_resampled_a_thousand_times_within_two_seconds():
    labels, probabilities, calls = _networks(4, n=600)
    began = time.process_time()
    compare_networks(labels, probabilities, calls, np.arange(600) // 2, resamples=1000)
    assert time.process_time() - began < 2  # CPU time of all cores


def test_a_single_network_is_no_comparison():
    labels, probabilities, calls = _networks(5)
    with pytest.raises(ValueError, match="two networks"):
        compare_networks(labels, {"A": probabilities["A"]}, {"A": calls["A"]}, None)
