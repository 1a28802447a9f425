"""The loss of a film, with label smoothing, focal exponent and class weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.configs import base
from pneumojax.training.losses import (
    binary_cross_entropy,
    class_factors,
    head_loss,
)

PLAIN = base.get_config().loss.to_dict()


def test_smoothing_moves_the_least_loss_from_infinity_to_the_smoothed_label():
    logits = jnp.linspace(-10, 10, 2001)
    smoothed = head_loss(logits, jnp.ones(2001), PLAIN | {"label_smoothing": 0.1})
    best = logits[int(np.argmin(smoothed))]
    assert 1 / (1 + np.exp(-best)) == pytest.approx(0.95, abs=1e-3)  # the grid's step is 0.01
    assert np.argmin(head_loss(logits, jnp.ones(2001), PLAIN)) == 2000


def test_focus_leaves_hard_films_and_takes_from_easy_ones():
    logits, labels = jnp.array([-4.0, 4.0, 0.0]), jnp.array([1, 1, 0])
    plain = binary_cross_entropy(logits, labels)
    focused = head_loss(logits, labels, PLAIN | {"focal_gamma": 2.0})
    wrong = 1 - 1 / (1 + np.exp(-np.array([-4.0, 4.0, 0.0])))
    np.testing.assert_allclose(focused[:2], (plain * wrong**2)[:2], rtol=1e-5)
    assert focused[0] > 0.95 * plain[0] and focused[1] < 1e-3 * plain[1]


def test_weights_give_both_classes_the_same_sum_and_films_a_mean_of_one():
    labels = np.array([0] * 3 + [1] * 9)
    weights = np.array(class_factors(labels, balanced=True))
    assert 3 * weights[0] == pytest.approx(9 * weights[1])
    assert weights[labels].mean() == pytest.approx(1)
    assert class_factors(labels, balanced=False) == (1, 1)
