"""The pure step: it learns, counts each film once, and draws by seed and step."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import base
from pneumojax.errors import UserError
from pneumojax.inference.forward import make_forward
from pneumojax.inference.network import main_logits, make_network
from pneumojax.sharding import make_mesh
from pneumojax.training.losses import binary_cross_entropy, network_loss
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.step import make_train_step


def random_batch(config, films=None, seed=0):
    rng = np.random.default_rng(seed)
    n, side = config.batch_size, config.data.image_size
    films = n if films is None else films
    return {
        "image": rng.integers(0, 256, (n, side, side, 1), np.uint8),
        "label": rng.integers(0, 2, n, np.int32),
        "mask": (np.arange(n) < films).astype(np.float32),
        "film": np.arange(n, dtype=np.int32),
    }


def stepper(config):
    """The step of epochs of 1,000 steps, an initial state and the network."""
    network, optimizer = make_network(config), make_optimizer(config, 1)
    step = jax.jit(make_train_step(config, network, optimizer, 1_000, make_mesh()))
    return step, jax.jit(lambda: initial_state(config, optimizer))(), network


def test_one_batch_can_be_learned_by_heart(config):
    config = config.copy_and_resolve_references()
    config.optimizer.learning_rate = 3e-3
    config.model.dropout = 0.0
    step, state, network = stepper(config)
    batch = random_batch(config)
    for _ in range(150):
        state, metrics = step(state, batch)
    assert metrics["loss"] < 0.05
    logits = jax.jit(make_forward(network, make_mesh()))(state.params, batch["image"])
    assert np.array_equal(logits > 0, batch["label"] == 1)


def test_padding_changes_neither_loss_nor_gradient(config):
    config = config.copy_and_resolve_references()
    config.optimizer.learning_rate, config.model.dropout = 3e-3, 0.0  # compiled already, above
    step, state, _ = stepper(config)
    padded = random_batch(config, films=5)
    other = dict(padded, image=padded["image"].copy(), label=padded["label"].copy())
    other["image"][5:] = 255 - other["image"][5:]
    other["label"][5:] = 1 - other["label"][5:]
    (first, metrics), (second, others) = step(state, padded), step(state, other)
    assert metrics["loss"] == others["loss"]
    assert metrics["accuracy"] == others["accuracy"]
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)


def test_sums_of_an_epoch_begin_anew_with_each_epoch(config):
    step, state, _ = stepper(config)
    state = replace(state, step=jnp.int32(998))
    films = []
    for count in (16, 5, 16, 7):
        state, _ = step(state, random_batch(config, films=count))
        films.append(float(state.epoch_sums.films))
    assert films == [16, 21, 16, 23]


def test_dropout_is_a_function_of_seed_and_step(config):
    step, state, _ = stepper(config)
    batch = random_batch(config)
    again = step(state, batch)[1]["loss"]
    assert step(state, batch)[1]["loss"] == again
    later = step(replace(state, step=state.step + 1), batch)[1]["loss"]
    assert later != again


def test_auxiliary_head_changes_gradients_and_never_the_evaluation(config):
    config = config.copy_and_resolve_references()
    config.model.heads = ("main", "auxiliary")
    network = make_network(config)
    params = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)).params)()
    batch = random_batch(config)
    images = batch["image"].astype(np.float32) / 255

    def loss_fn(params, weight):
        logits = network.logits(params, images)
        settings = config.loss.to_dict() | {"auxiliary_weights": (weight,)}
        return jnp.mean(network_loss(logits, batch["label"], settings))

    gradient = jax.jit(jax.grad(loss_fn))
    without, with_it = (gradient(params, weight) for weight in (0.0, 0.4))
    assert not np.allclose(without["stem1"]["kernel"], with_it["stem1"]["kernel"])
    evaluate = jax.jit(make_forward(network, make_mesh()))
    spoiled = params | {"auxiliary_head": jax.tree.map(jnp.ones_like, params["auxiliary_head"])}
    before, after = (evaluate(p, batch["image"]) for p in (params, spoiled))
    np.testing.assert_array_equal(before, after)


def test_loss_is_main_plus_weighted_auxiliary():
    logits = {"main": jnp.array([0.0, 2.0]), "auxiliary": jnp.array([1.0, -1.0])}
    labels = jnp.array([1, 0])
    main, auxiliary = (binary_cross_entropy(logits[head], labels) for head in logits)
    assert main == pytest.approx([np.log(2), np.log1p(np.exp(2))])
    settings = base.get_config().loss
    assert network_loss(logits, labels, settings) == pytest.approx(main + 0.4 * auxiliary)
    assert main_logits(logits) is logits["main"]
    alone = {"auxiliary": logits["auxiliary"]}
    assert network_loss(alone, labels, settings) == pytest.approx(auxiliary)
    three = logits | {"auxiliary2": logits["main"]}
    weighted = settings.to_dict() | {"auxiliary_weights": (0.4, 0.1)}
    assert network_loss(three, labels, weighted) == pytest.approx(1.1 * main + 0.4 * auxiliary)
    with pytest.raises(UserError, match="auxiliary_weights is .0.4,.: there are 2 auxiliary"):
        network_loss(three, labels, settings)


def test_evaluation_ignores_dropout_and_step(config):
    step, state, network = stepper(config)
    evaluate = jax.jit(make_forward(network, make_mesh()))
    batch = random_batch(config)
    before = evaluate(state.params, batch["image"])
    np.testing.assert_array_equal(before, evaluate(state.params, batch["image"]))
    state, _ = step(state, batch)
    assert not np.array_equal(before, evaluate(state.params, batch["image"]))
