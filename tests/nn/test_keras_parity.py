"""Our network and Keras's, with equal weights, have equal logits and gradients."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
import tensorflow as tf
from flax import nnx

from benchmarks.peers.keras_network import keras_network
from pneumojax.configs import base
from pneumojax.nn.inception import Inception
from pneumojax.training.losses import network_loss
from pneumojax.training.state import initial_state

SIZE = 150


def parameter_paths(tree, prefix=""):
    """{"stem1.kernel": array, ...} of a nested dict."""
    paths = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            paths |= parameter_paths(value, f"{prefix}{name}.")
        else:
            paths[f"{prefix}{name}"] = value
    return paths


BOTH = ("main", "auxiliary")


def same_weights(heads, dtype, size=SIZE):
    """Keras's network with random biases, our definition, and Keras's weights as our tree."""
    keras.utils.set_random_seed(1)
    theirs = keras_network(size, heads)
    rng = np.random.default_rng(2)
    for weight in theirs.trainable_variables:  # zero biases would hide an error
        if weight.name == "bias":
            weight.assign(rng.normal(0, 0.05, weight.shape))
    module = nnx.eval_shape(
        lambda: Inception(image_size=size, heads=heads, dtype=dtype, rngs=nnx.Rngs(0))
    )
    definition, params = nnx.split(module, nnx.Param)
    weights = {weight.path.replace("/", "."): weight for weight in theirs.trainable_variables}
    params = nnx.to_pure_dict(params)
    assert parameter_paths(params).keys() == weights.keys()
    return theirs, weights, definition, _filled(params, weights)


def test_logits_equal_those_of_keras():
    theirs, _, definition, params = same_weights(BOTH, "float32")
    images = np.random.default_rng(3).random((4, SIZE, SIZE, 1), np.float32)
    logits = jax.jit(lambda params: nnx.merge(definition, params)(images))(params)
    expected = theirs(np.repeat(images, 3, -1), training=False)
    for head in BOTH:
        np.testing.assert_allclose(logits[head], expected[head], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("heads, size", [(("auxiliary",), SIZE), (BOTH, 75)])
def test_loss_and_every_gradient_equal_those_of_keras(heads, size, float64):
    """This runs in float64. In float32 a unit near its kink may fall on either side of it, and two
    correct programs then differ by that unit's share (Keras in float32 and float64 by 4e-4)."""
    theirs, weights, definition, params = same_weights(heads, "float64", size)
    images = np.random.default_rng(3).random((3, size, size, 1))
    labels, mask = np.array([0, 1, 1]), np.array([1.0, 1.0, 0.0])
    with tf.GradientTape() as tape:
        logits = theirs(np.repeat(images, 3, -1), training=False)
        entropy = {
            head: tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels[:2].astype(float), value[:2])
            )
            for head, value in logits.items()
        }
        expected = entropy["auxiliary"]
        if "main" in heads:
            expected = entropy["main"] + 0.4 * entropy["auxiliary"]
    expected_gradients = tape.gradient(expected, list(weights.values()))

    def loss_fn(params):
        losses = network_loss(nnx.merge(definition, params)(images), labels, base.get_config().loss)
        return jnp.sum(losses * mask) / jnp.sum(mask)

    quickly = {"xla_backend_optimization_level": 0}  # compiles in half the time
    run = jax.jit(jax.value_and_grad(loss_fn), compiler_options=quickly)
    loss, gradients = run(params)
    np.testing.assert_allclose(loss, expected, rtol=0, atol=1e-5)
    gradients = parameter_paths(gradients)
    for path, theirs_of_it in zip(weights, expected_gradients, strict=True):
        scale = np.abs(theirs_of_it).max()
        assert scale > 0, path
        assert np.abs(gradients[path] - theirs_of_it.numpy()).max() <= 1e-4 * scale, path


@pytest.fixture
def float64():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    with jax.enable_x64(True):
        yield
    keras.config.set_dtype_policy(policy)


@pytest.mark.slow  # a quicker test in test_layers.py checks one layer
def test_initial_values_spread_as_keras_draws_them():
    theirs = {w.path.replace("/", "."): w.numpy() for w in keras_network(SIZE).weights}
    config = base.get_config()
    begin = jax.jit(lambda: initial_state(config, optax.identity()).params)  # as a run does
    for path, value in parameter_paths(begin()).items():
        assert value.shape == theirs[path].shape
        if path.endswith("bias"):
            assert not np.any(value)
        else:  # uniform: the standard deviation of some 100 to 10^6 draws, and the hard limit
            assert np.std(value) == pytest.approx(np.std(theirs[path]), rel=0.15), path
            assert np.max(np.abs(value)) == pytest.approx(np.abs(theirs[path]).max(), rel=0.1), path


def test_epsilon_stands_after_the_bias_correction():
    """Optax adds Adam's epsilon where the optimizer's docstring says, unlike Keras."""
    adam = optax.adam(1e-3, b1=0.9, b2=0.999, eps=1e-7)
    gradient = np.float32(1e-7)
    update, _ = adam.update(gradient, adam.init(np.float32(0)))
    assert update == pytest.approx(-1e-3 * 0.5, rel=1e-3)  # g / (|g| + eps) = 1/2


def _filled(tree, values, prefix=""):
    return {
        name: _filled(value, values, f"{prefix}{name}.")
        if isinstance(value, dict)
        else values[f"{prefix}{name}"].numpy()
        for name, value in tree.items()
    }
