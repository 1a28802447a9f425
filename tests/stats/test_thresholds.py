import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumojax.stats.metrics import call, confusion, probability
from pneumojax.stats.thresholds import lowest_cost, sensitivity_at_least, worst_case, youden

TIED_FILMS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-6, 6)), min_size=2, max_size=40
).filter(lambda films: len({label for label, _ in films}) == 2)


def _every_point(labels, logits):
    """Sensitivity and specificity at every threshold between the scores, by brute force."""
    thresholds = [np.inf, *np.unique(logits)]
    counts = [confusion(labels, logits >= t) for t in thresholds]
    return [(float(c.sensitivity), float(c.specificity)) for c in counts]


@given(TIED_FILMS)
def test_youdens_point_is_the_best_of_all_and_the_most_sensitive_of_the_best(films):
    labels, logits = np.array(films).T
    point = youden(labels, logits)
    best = max(a + b for a, b in _every_point(labels, logits))
    assert point.sensitivity + point.specificity == pytest.approx(best, abs=1e-12)
    ties = [a for a, b in _every_point(labels, logits) if abs(a + b - best) < 1e-9]
    assert point.sensitivity == max(ties)


@given(TIED_FILMS, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_the_sensitivity_asked_for_is_reached_at_the_highest_specificity(films, wanted):
    labels, logits = np.array(films).T
    point = sensitivity_at_least(labels, logits, wanted)
    reached = [(a, b) for a, b in _every_point(labels, logits) if a >= wanted - 1e-12]
    assert point.sensitivity >= wanted - 1e-12
    assert point.specificity == max(b for _, b in reached)


@given(TIED_FILMS, st.sampled_from([0.1, 1.0, 3.0]))
def test_the_lowest_cost_is_the_lowest_of_all(films, ratio):
    labels, logits = np.array(films).T
    positives, negatives = labels.sum(), (1 - labels).sum()

    def cost(sensitivity, specificity):
        return ratio * positives * (1 - sensitivity) + negatives * (1 - specificity)

    point = lowest_cost(labels, logits, ratio)
    costs = [cost(*p) for p in _every_point(labels, logits)]
    assert cost(point.sensitivity, point.specificity) == pytest.approx(min(costs), abs=1e-9)
    ties = [p[0] for p in _every_point(labels, logits) if cost(*p) < min(costs) + 1e-9]
    assert point.sensitivity == max(ties)


@given(TIED_FILMS, st.sampled_from([0.25, 1.0, 7.0]))
def test_calls_at_the_threshold_are_the_same_at_any_temperature(films, temperature):
    labels, logits = np.array(films).T
    for point in (
        youden(labels, logits),
        sensitivity_at_least(labels, logits, 0.9),
        lowest_cost(labels, logits, 5),
    ):
        calls = call(probability(logits), point.probability)
        counted = confusion(labels, calls)
        assert (counted.sensitivity, counted.specificity) == pytest.approx(
            (point.sensitivity, point.specificity), abs=1e-12
        )
        cooled = probability(point.logit / temperature)
        np.testing.assert_array_equal(call(probability(logits / temperature), cooled), calls)
        assert point.logit not in logits


def test_the_threshold_lies_halfway_between_scores_or_beyond_the_ends():
    labels, logits = [0, 0, 1, 1], [-3.0, -1.0, 2.0, 5.0]
    assert youden(labels, logits).logit == 0.5
    assert sensitivity_at_least(labels, logits, 0.5).logit == 3.5
    assert sensitivity_at_least([1, 0, 1], [-1.0, 0.0, 1.0], 1.0).logit == -2.0
    assert lowest_cost([0, 0, 0, 1], [1.0, 2.0, 3.0, 0.0], 0.5).logit == 4.0


def test_19_of_20_films_are_a_sensitivity_of_095():
    labels, logits = np.repeat([1, 0], [20, 5]), np.arange(25.0)[::-1]
    assert sensitivity_at_least(labels, logits, 0.95).sensitivity == 0.95


def test_a_costlier_miss_never_raises_the_threshold():
    rng = np.random.default_rng([0])
    labels = rng.integers(0, 2, 300)
    logits = rng.normal(size=300) + labels
    found = [lowest_cost(labels, logits, ratio).logit for ratio in (0.1, 0.5, 1, 2, 10, 100)]
    assert found == sorted(found, reverse=True) and len(set(found)) > 3


def test_arguments_without_a_threshold_are_refused():
    with pytest.raises(ValueError, match="both classes"):
        youden([1, 1], [0.0, 1.0])
    with pytest.raises(ValueError, match="not 1.5"):
        sensitivity_at_least([0, 1], [0.0, 1.0], 1.5)
    with pytest.raises(ValueError, match="not 0"):
        lowest_cost([0, 1], [0.0, 1.0], 0)


def test_the_worst_group_decides_on_the_threshold_of_the_worst_case():
    labels = np.tile([0, 1], 6)
    logits = np.array([-3, 3, -2.9, 2.9, -2.8, 2.8, 1.0, 5, 1.2, 5.2, 0.9, 2.7])
    groups = np.repeat(["old machine", "new machine"], 6)
    point = worst_case(labels, logits, groups)
    assert 1.2 < point.logit < 2.7  # between the normal and the ill films of the new machine
    assert (point.sensitivity, point.specificity) == (1, 1)
    assert worst_case(labels[:6], logits[:6], groups[:6]).logit == 0


def test_the_worst_case_takes_groups_that_lack_a_class_and_balances_errors_between_groups():
    # No threshold serves both: normal films of one group lie at 0 to 9, ill ones of the other too.
    values = np.arange(10.0)
    labels, groups = np.repeat([0, 1], 10), np.repeat([0, 1], 10)
    point = worst_case(labels, np.concatenate([values, values]), groups)
    assert (point.sensitivity, point.specificity) == (0.5, 0.5)
    with pytest.raises(ValueError, match="20 films and groups of shape"):
        worst_case(labels, np.concatenate([values, values]), groups[:3])
