"""The optimizer: learning-rate schedule, weight decay and clipping of gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pneumojax.configs import base
from pneumojax.training.optimizer import learning_rate, make_optimizer

PARAMS = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full(2, 3.0)}


def configured(**fields):
    config = base.get_config()
    config.epochs = 4
    for field, value in fields.items():
        config.optimizer[field] = value
    return config


def first_update(config, gradient):
    optimizer = make_optimizer(config, 10)
    updates, _ = optimizer.update(gradient, optimizer.init(PARAMS), PARAMS)
    return updates


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine_to_nothing():
    rate = learning_rate(configured(schedule="cosine", warmup_epochs=1.0, learning_rate=0.1), 10)
    rates = np.array([rate(step) for step in range(41)])
    np.testing.assert_allclose(np.diff(rates[:11]), 0.1 / 11, rtol=2e-2)  # float32
    assert rates[10] == pytest.approx(0.1) and np.argmax(rates) == 10
    assert rates[25] == pytest.approx(0.05) and rates[40] == pytest.approx(0, abs=1e-8)


def test_a_constant_rate_may_be_warmed_up_and_stays():
    rate = learning_rate(configured(warmup_epochs=0.5, learning_rate=0.1), 10)
    assert rate(0) < rate(4) < rate(5) == rate(39) == pytest.approx(0.1)
    assert learning_rate(configured(), 10) == 1e-3


def test_decay_is_of_kernels_alone_and_apart_from_the_gradient():
    nothing = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    updates = first_update(configured(weight_decay=0.1, learning_rate=0.01), nothing)
    np.testing.assert_allclose(updates["kernel"], -0.01 * 0.1 * 3, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_a_long_gradient_is_shortened_and_a_short_one_left():
    # Adam's first step depends on the gradient's norm through epsilon alone, which is large here.
    gradient = {"kernel": jnp.full((2, 2), 30.0), "bias": jnp.zeros(2)}
    shortened = {"kernel": jnp.full((2, 2), 0.5), "bias": jnp.zeros(2)}  # whose norm is 1
    bound = configured(clip_norm=1.0, epsilon=1.0)
    free = configured(epsilon=1.0)
    for a, b in ((gradient, shortened), (shortened, shortened)):
        np.testing.assert_allclose(
            first_update(bound, a)["kernel"], first_update(free, b)["kernel"], rtol=1e-6
        )


def test_without_decay_and_clipping_it_is_adam():
    gradient = {"kernel": jnp.full((2, 2), 30.0), "bias": jnp.ones(2)}
    adam = optax.adam(1e-3, eps=1e-7)
    expected, _ = adam.update(gradient, adam.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(
        first_update(configured(), gradient)["kernel"], expected["kernel"]
    )


def test_with_decay_it_is_adamw_whose_decay_is_of_kernels_alone():
    gradient = {"kernel": jnp.full((2, 2), 30.0), "bias": jnp.ones(2)}
    masked = {"kernel": True, "bias": False}
    adamw = optax.adamw(1e-3, eps=1e-7, weight_decay=0.1, mask=masked)
    optimizer = make_optimizer(configured(weight_decay=0.1), 10)
    params, state, expected = PARAMS, optimizer.init(PARAMS), adamw.init(PARAMS)
    for _ in range(3):
        updates, state = optimizer.update(gradient, state, params)
        theirs, expected = adamw.update(gradient, expected, params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), updates, theirs)
        params = optax.apply_updates(params, updates)


def test_a_network_without_heads_may_be_fine_tuned():
    """All parameters are in the backbone's group, and none in the heads'."""
    config = configured()
    config.finetune.backbone_rate = 0.1
    params = {"stem1": PARAMS}
    optimizer = make_optimizer(config, 10)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    adam = optax.adam(1e-4, eps=1e-7)
    expected, _ = adam.update(params, adam.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), updates, expected)
