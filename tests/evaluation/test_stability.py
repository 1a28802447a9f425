"""The variation of an operating point: less with more patients, and the same for one seed."""

import numpy as np
import pytest

from pneumojax.evaluation.stability import threshold_stability

SETTINGS = {"rule": "youden", "min_sensitivity": 0.95, "cost_ratio": 1.0, "temperature": True}


@pytest.fixture(scope="module")
def films():
    rng = np.random.default_rng(0)
    labels = (np.arange(900) % 4 > 0).astype(int)
    return labels, rng.normal(3 * labels - 1, 1.5), [f"p{i // 2}" for i in range(900)]


@pytest.fixture(scope="module")
def found(films):
    return threshold_stability(SETTINGS, *films, resamples=60)


def test_fewer_patients_make_a_threshold_jump(found):
    whole, tenth = found
    assert (whole.patients, tenth.patients) == (450, 45)
    for name in ("threshold", "temperature", "sensitivity", "specificity"):
        assert 0 < getattr(whole, name) < getattr(tenth, name)


def test_it_is_a_function_of_its_seed(films, found):
    assert threshold_stability(SETTINGS, *films, resamples=60) == found
    assert threshold_stability(SETTINGS, *films, resamples=60, seed=1) != found


def test_a_sensitivity_asked_for_is_met_within_its_own_deviation(films):
    """Each fit reaches 0.95 on its own draw, so on all films it differs by the draw alone."""
    settings = SETTINGS | {"rule": "sensitivity"}
    whole, _ = threshold_stability(settings, *films, resamples=60)
    assert whole.means.sensitivity == pytest.approx(95, abs=whole.sensitivity)


def test_films_of_one_patient_are_drawn_together():
    """With one patient in each class, half of the draws have one class and are left out."""
    labels = np.array([0] * 10 + [1] * 10)
    logits = np.r_[np.linspace(-3, 1, 10), np.linspace(-1, 3, 10)]
    patients = ["a"] * 10 + ["b"] * 10
    row, _ = threshold_stability(SETTINGS, labels, logits, patients, resamples=100)
    assert 30 < row.resamples < 70  # half of 100 are expected
    assert row.threshold == pytest.approx(0, abs=1e-9)


def test_draws_of_one_class_alone_say_nothing():
    _, row = threshold_stability(SETTINGS, [0, 1], [-1.0, 1.0], ["a", "b"], resamples=3)
    assert (row.share, row.resamples) == (0.1, 0)
    assert np.isnan([row.threshold, row.means.sensitivity]).all()
