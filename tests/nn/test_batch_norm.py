"""Batch norm in training: its results are flax's, and its gradient is the one JAX derives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pneumojax.nn.batch_norm import BatchNorm, batch_normalise

FEATURES = 5


def flax_norm(x, scale, bias):
    """`batch_normalise` by flax, whose gradient JAX derives."""
    norm = nnx.BatchNorm(FEATURES, momentum=0.0, epsilon=1e-3, rngs=nnx.Rngs(0))
    norm.mean, norm.var = (nnx.BatchStat(jnp.zeros_like(scale)) for _ in range(2))
    norm.scale, norm.bias = nnx.Param(scale), nnx.Param(bias)
    y = norm(x, use_running_average=False)
    return y, norm.mean[...], norm.var[...]


def both(x, seed=0):
    """The results and the gradients of x, scale and bias: ours, then flax's."""
    scale, bias, y_gradient = (
        jnp.asarray(array, x.dtype)
        for array in map(np.random.default_rng(seed).normal, (0, 0, 0), (1, 1, 1), (5, 5, x.shape))
    )
    ours = jax.vjp(lambda *given: batch_normalise(*given, 1e-3, None), x, scale, bias)
    theirs = jax.vjp(flax_norm, x, scale, bias)
    nothing = jnp.zeros(FEATURES, x.dtype)
    return [(y, pull((y_gradient, nothing, nothing))) for y, pull in (ours, theirs)]


def test_results_and_gradients_are_those_that_flax_and_jax_derive():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).normal(3, 2, (4, 7, 6, FEATURES)))
        ours, theirs = both(x)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-9, 1e-11), ours, theirs)


def test_a_mean_far_from_zero_costs_no_more_digits_than_flaxs():
    """Both compute the variance from squares of about 100, and lose four of seven digits."""
    x = np.random.default_rng(2).normal(100, 1, (4, 7, 6, FEATURES))
    with jax.enable_x64(True):
        (_, exact), _ = both(jnp.asarray(x))
    (_, ours), (_, theirs) = both(jnp.asarray(x, jnp.float32))
    for right, here, there in zip(exact, ours, theirs, strict=True):
        errors = [np.abs(np.asarray(right) - np.asarray(found)).max() for found in (here, there)]
        assert errors[0] <= 1.5 * errors[1] + 1e-6  # rounding errors of both are partly chance


@pytest.mark.parametrize("scale", [True, False])
def test_a_layer_in_training_keeps_the_batchs_statistics_and_normalises_by_them(scale):
    layer = BatchNorm(FEATURES, scale=scale, rngs=nnx.Rngs(0))
    layer.set_attributes(use_running_average=False)
    x = jnp.asarray(np.random.default_rng(3).normal(3, 2, (8, 7, 6, FEATURES)), jnp.bfloat16)
    y = layer(x)
    assert y.dtype == jnp.float32  # sums over positions are more than bfloat16 can hold
    np.testing.assert_allclose(layer.mean[...], x.astype(jnp.float32).mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.var[...], x.astype(jnp.float32).var((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(y.mean((0, 1, 2)), np.zeros(FEATURES), atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), np.ones(FEATURES), rtol=1e-3)  # epsilon
