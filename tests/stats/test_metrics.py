import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from pneumojax.stats.curves import roc_curve
from pneumojax.stats.metrics import (
    Confusion,
    auroc,
    call,
    confusion,
    log_loss,
    midranks,
    rank_correlation,
)

# There are few distinct scores, so ties within and between the classes are common.
TIED_FILMS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=40
).filter(lambda films: len({label for label, _ in films}) == 2)


def _films(seed: int, n: int = 200, levels: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed])
    labels = rng.integers(0, 2, n)
    return labels, np.round(rng.normal(size=n) + labels, 1) if levels else rng.normal(size=n)


@pytest.mark.parametrize("seed", range(3))
def test_every_metric_of_the_confusion_matrix_equals_sklearns(seed):
    labels, scores = _films(seed)
    calls = (scores > 0.8).astype(int)
    counted = confusion(labels, calls)
    np.testing.assert_array_equal(
        [[counted.tn, counted.fp], [counted.fn, counted.tp]],
        reference.confusion_matrix(labels, calls),
    )
    precision, recall, f1, support = reference.precision_recall_fscore_support(labels, calls)
    np.testing.assert_allclose(counted.precision, precision, rtol=1e-12)
    np.testing.assert_allclose(counted.recall, recall, rtol=1e-12)
    np.testing.assert_allclose(counted.f1, f1, rtol=1e-12)
    np.testing.assert_array_equal(counted.support, support)
    weighted = reference.precision_recall_fscore_support(labels, calls, average="weighted")
    np.testing.assert_allclose(
        [counted.weighted_precision, counted.weighted_recall, counted.weighted_f1],
        weighted[:3],
        rtol=1e-12,
    )
    assert counted.sensitivity == pytest.approx(recall[1], rel=1e-12)
    assert counted.specificity == pytest.approx(recall[0], rel=1e-12)
    assert counted.accuracy == pytest.approx(reference.accuracy_score(labels, calls), rel=1e-12)
    assert counted.balanced_accuracy == pytest.approx(
        reference.balanced_accuracy_score(labels, calls), rel=1e-12
    )
    assert counted.n == labels.size


def test_published_metrics_follow_from_their_counts():
    # 234 normal films at a recall of 0.440 and 390 of pneumonia at 0.987 give these counts.
    counted = Confusion(*np.array([103, 131, 5, 385]))
    assert counted.accuracy == pytest.approx(0.782, abs=5e-4)
    np.testing.assert_allclose(counted.recall, [0.440, 0.987], atol=5e-4)
    np.testing.assert_allclose(counted.precision, [0.954, 0.746], atol=5e-4)
    assert counted.weighted_f1 == pytest.approx(0.757, abs=5e-4)


def test_counts_of_many_matrices_give_the_metrics_of_each():
    many = np.random.default_rng([0]).integers(0, 4, (4, 30))  # zeros make some metrics undefined
    together = Confusion(*many)
    for i in range(30):
        alone = Confusion(*many[:, i])
        for name in ("accuracy", "precision", "recall", "f1", "weighted_precision", "weighted_f1"):
            np.testing.assert_array_equal(getattr(together, name)[..., i], getattr(alone, name))


def test_a_class_that_is_never_called_has_no_precision_and_an_f1_of_zero():
    counted = confusion([0, 0, 1, 1, 1], [1, 1, 1, 1, 1])
    np.testing.assert_array_equal(counted.precision, [np.nan, 0.6])
    np.testing.assert_array_equal(counted.recall, [0, 1])
    np.testing.assert_allclose(counted.f1, [0, 0.75])
    assert np.isnan(counted.weighted_precision)
    assert counted.weighted_f1 == pytest.approx(0.45)


def test_a_class_without_films_has_no_recall_and_no_weight():
    counted = confusion([1, 1, 1, 1], [1, 1, 1, 0])
    assert np.isnan(counted.specificity)
    assert np.isnan(counted.balanced_accuracy)
    assert counted.weighted_precision == 1
    assert counted.weighted_recall == counted.accuracy == 0.75
    assert counted.weighted_f1 == pytest.approx(6 / 7)
    assert np.isnan(confusion([1, 1], [1, 1]).f1[0])


def test_a_film_at_the_threshold_is_called():
    np.testing.assert_array_equal(call([0.4999, 0.5, 0.5001]), [0, 1, 1])
    np.testing.assert_array_equal(call([0.1, 0.2, 0.3], threshold=0.2), [0, 1, 1])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [0, 12])
def test_auroc_and_curve_equal_sklearns_with_and_without_ties(seed, levels):
    labels, scores = _films(seed, levels=levels)
    assert auroc(labels, scores) == pytest.approx(
        reference.roc_auc_score(labels, scores), abs=1e-12
    )
    ours = roc_curve(labels, scores)
    theirs = reference.roc_curve(labels, scores, drop_intermediate=False)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


def test_perfect_separation_and_its_reverse():
    assert auroc([0, 0, 1, 1], [1, 2, 3, 4]) == 1
    assert auroc([1, 1, 0, 0], [1, 2, 3, 4]) == 0
    assert auroc([0, 1, 0, 1], [7, 7, 7, 7]) == 0.5
    false_positive_rate, sensitivity, thresholds = roc_curve([0, 0, 1, 1], [1, 2, 3, 4])
    np.testing.assert_array_equal(false_positive_rate, [0, 0, 0, 0.5, 1])
    np.testing.assert_array_equal(sensitivity, [0, 0.5, 1, 1, 1])
    np.testing.assert_array_equal(thresholds, [np.inf, 4, 3, 2, 1])


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_has_no_auroc_and_half_a_curve(label):
    labels, scores = np.full(5, label), np.arange(5.0)
    assert np.isnan(auroc(labels, scores))
    false_positive_rate, sensitivity, _ = roc_curve(labels, scores)
    assert np.isnan(false_positive_rate).all() == (label == 1)
    assert np.isnan(sensitivity).all() == (label == 0)


@given(TIED_FILMS)
def test_auroc_is_the_share_of_pairs_in_order_and_the_area_under_the_curve(films):
    labels, scores = np.array(films).T
    above = scores[labels == 1][:, None] - scores[labels == 0]
    assert auroc(labels, scores) == pytest.approx(np.mean(np.sign(above) / 2 + 0.5), abs=1e-12)
    false_positive_rate, sensitivity, _ = roc_curve(labels, scores)
    area = np.trapezoid(sensitivity, false_positive_rate)
    assert auroc(labels, scores) == pytest.approx(area, abs=1e-12)


@given(TIED_FILMS)
def test_a_monotone_transform_leaves_auroc(films):
    labels, scores = np.array(films).T
    assert auroc(labels, scores) == auroc(labels, 1 / (1 + np.exp(-scores / 3)))


@given(TIED_FILMS)
def test_swapping_the_classes_mirrors_auroc(films):
    labels, scores = np.array(films).T
    assert auroc(1 - labels, scores) == pytest.approx(1 - auroc(labels, scores), abs=1e-12)
    assert auroc(labels, -scores) == pytest.approx(1 - auroc(labels, scores), abs=1e-12)


@given(TIED_FILMS, st.randoms(use_true_random=False))
def test_the_order_of_films_is_irrelevant(films, random):
    labels, scores = np.array(films).T
    random.shuffle(films)
    other_labels, other_scores = np.array(films).T
    assert auroc(labels, scores) == auroc(other_labels, other_scores)
    for mine, other in zip(
        roc_curve(labels, scores), roc_curve(other_labels, other_scores), strict=True
    ):
        np.testing.assert_array_equal(mine, other)
    calls, other_calls = call(scores, 0), call(other_scores, 0)
    assert confusion(labels, calls) == confusion(other_labels, other_calls)


def test_midranks_share_the_mean_rank():
    np.testing.assert_array_equal(midranks([3, 1, 3, 2]), [3.5, 1, 3.5, 2])


def test_log_loss_equals_sklearns_and_is_finite_at_any_logit():
    labels, logits = _films(4, levels=0)
    probabilities = 1 / (1 + np.exp(-logits))
    assert log_loss(labels, logits) == pytest.approx(reference.log_loss(labels, probabilities))
    assert log_loss([0, 1], [1000.0, 1000.0]) == 500
    assert log_loss([0, 1], np.array([-1000, 1000], np.float32)) == 0


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([0, 1, 2], [0.1, 0.2, 0.3]),
        ([0, 1], [0.1, 0.2, 0.3]),
        ([0, 1], [0.1, np.nan]),
        ([0, 1], [0.1, np.inf]),
        ([[0, 1]], [[0.1, 0.2]]),
    ],
)
def test_bad_arrays_are_refused(labels, scores):
    for figure in (auroc, roc_curve, log_loss):
        with pytest.raises(ValueError, match="labels|scores"):
            figure(labels, scores)


def test_calls_that_do_not_match_the_labels_are_refused():
    with pytest.raises(ValueError, match="2 labels but 3 calls"):
        confusion([0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="0 and 1"):
        confusion([0, 1], [0.2, 0.7])


def test_ranks_that_cannot_be_compared_have_no_correlation():
    assert np.isnan(rank_correlation([], [])) and np.isnan(rank_correlation([1, 2], [3, 3]))
