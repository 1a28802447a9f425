"""The train step as a whole, and each of its parts."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.configs import base
from pneumojax.errors import UserError
from pneumojax.inference.forward import make_forward
from pneumojax.inference.network import make_network, predicting_logits
from pneumojax.sharding import make_mesh
from pneumojax.training.losses import BatchSums, Objective, binary_cross_entropy, network_loss
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import EpochSums, Moments, initial_state
from pneumojax.training.step import (
    add_random_inputs,
    add_to_epoch,
    augment_batch,
    make_train_step,
    moving_average,
    sum_over_microbatches,
)


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
    """A step with 1,000 steps to an epoch, its first state and the network."""
    network, optimizer = make_network(config), make_optimizer(config, 1)
    step = jax.jit(make_train_step(config, network, optimizer, 1_000, make_mesh()))
    return step, jax.jit(lambda: initial_state(config, optimizer))(), network


@pytest.mark.slow
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


@pytest.mark.slow
def test_padding_changes_neither_loss_nor_gradient(config):
    config = config.copy_and_resolve_references()
    config.optimizer.learning_rate, config.model.dropout = (
        3e-3,
        0.0,
    )  # the same program as above, compiled once
    step, state, _ = stepper(config)
    padded = random_batch(config, films=5)
    other = dict(padded, image=padded["image"].copy(), label=padded["label"].copy())
    other["image"][5:] = 255 - other["image"][5:]
    other["label"][5:] = 1 - other["label"][5:]
    (first, metrics), (second, others) = step(state, padded), step(state, other)
    assert metrics["loss"] == others["loss"]
    assert metrics["accuracy"] == others["accuracy"]
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)


@pytest.mark.slow
def test_sums_of_an_epoch_begin_anew_with_each_epoch(config):
    step, state, _ = stepper(config)
    state = replace(state, step=jnp.int32(998))
    films = []
    for count in (16, 5, 16, 7):
        state, _ = step(state, random_batch(config, films=count))
        films.append(float(state.epoch_sums.films))
    assert films == [16, 21, 16, 23]


@pytest.mark.slow
def test_dropout_is_a_function_of_seed_and_step(config):
    step, state, _ = stepper(config)
    batch = random_batch(config)
    again = step(state, batch)[1]["loss"]
    assert step(state, batch)[1]["loss"] == again
    later = step(replace(state, step=state.step + 1), batch)[1]["loss"]
    assert later != again


@pytest.mark.slow
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
    assert predicting_logits(logits) is logits["main"]
    alone = {"auxiliary": logits["auxiliary"]}
    assert network_loss(alone, labels, settings) == pytest.approx(auxiliary)
    three = logits | {"auxiliary2": logits["main"]}
    weighted = settings.to_dict() | {"auxiliary_weights": (0.4, 0.1)}
    assert network_loss(three, labels, weighted) == pytest.approx(1.1 * main + 0.4 * auxiliary)
    with pytest.raises(UserError, match="auxiliary_weights is .0.4,.: there are 2 auxiliary"):
        network_loss(three, labels, settings)


@pytest.mark.slow
def test_evaluation_ignores_dropout_and_step(config):
    step, state, network = stepper(config)
    evaluate = jax.jit(make_forward(network, make_mesh()))
    batch = random_batch(config)
    before = evaluate(state.params, batch["image"])
    np.testing.assert_array_equal(before, evaluate(state.params, batch["image"]))
    state, _ = step(state, batch)
    assert not np.array_equal(before, evaluate(state.params, batch["image"]))


class MeanNetwork:
    """A network whose logit is a film's mean grey level times a weight."""

    def training_logits(self, params, statistics, images, dropout_keys, axis):
        return {"main": params["weight"] * images.mean((1, 2, 3))}, {}


def seen_batch(films=8):
    rng = np.random.default_rng(3)
    labels = jnp.asarray(rng.integers(0, 2, films))
    return {
        "image": jnp.asarray(rng.random((films, 4, 4, 1), np.float32)),
        "label": labels,
        "target": labels,
        "weight": jnp.ones(films),
        "mask": jnp.ones(films).at[-1].set(0),
        "dropout_key": jax.random.split(jax.random.key(0), films),
    }


def objective(**settings):
    return Objective(MeanNetwork(), base.get_config().loss, **settings)


def test_the_objective_weighs_classes_and_leaves_padding_out():
    batch, params, films = seen_batch(), {"weight": jnp.float32(2)}, jnp.float32(7)
    batch["weight"] = jnp.where(batch["label"] == 1, 3.0, 0.5)
    losses = binary_cross_entropy(2 * batch["image"].mean((1, 2, 3)), batch["label"])[:7]
    ill = batch["label"][:7] == 1
    loss, sums = objective()(params, {}, batch, films)
    assert loss == pytest.approx(jnp.sum(losses * jnp.where(ill, 3, 0.5)) / 7)
    assert sums.loss == pytest.approx(jnp.sum(losses))  # the training curve has no class weights
    assert sums.correct == jnp.sum(ill)  # all logits are above 0


@pytest.mark.parametrize("size", [1, 2, 4])
def test_gradients_summed_over_microbatches_are_those_of_the_batch(size):
    batch, params, films = seen_batch(), {"weight": jnp.float32(2)}, jnp.float32(7)
    whole = sum_over_microbatches(objective(), params, {}, batch, films, 8)
    parts = sum_over_microbatches(objective(), params, {}, batch, films, size)
    # Sums of float32 in another order.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), parts, whole)
    assert whole[1]["weight"] != 0


def test_dropout_keys_differ_by_step_and_film_and_partners_are_half_a_batch_away():
    batch = {"image": jnp.arange(4.0), "label": jnp.arange(4), "film": 10 + jnp.arange(4)}
    key = jax.random.key(0)
    first, second = (add_random_inputs(batch, key, step, mixup=True) for step in (0, 1))
    keys = [jax.random.key_data(b["dropout_key"]) for b in (first, second)]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 8
    assert first["partner"]["film"].tolist() == [12, 13, 10, 11]
    assert "partner" not in add_random_inputs(batch, key, 0, mixup=False)


def test_images_are_augmented_by_film_and_epoch(config):
    batch = random_batch(config)

    def noisy(images, keys):
        noise = jax.vmap(lambda key: jax.random.uniform(key))(keys)
        return images * noise[:, None, None, None]

    plain = augment_batch(batch, jnp.int32(0), 0, lambda images, keys: images, config)
    np.testing.assert_allclose(plain["image"], batch["image"] / 255, rtol=1e-6)
    assert plain["target"] is batch["label"]
    first, again, later = (augment_batch(batch, jnp.int32(e), 0, noisy, config) for e in (0, 0, 1))
    np.testing.assert_array_equal(first["image"], again["image"])
    assert np.all(first["image"].mean((1, 2, 3)) != later["image"].mean((1, 2, 3)))


@pytest.mark.slow
def test_mixup_mixes_images_and_targets_with_those_of_the_partners(config):
    with config.unlocked():
        config.augment.mixup = 0.4
    batch = add_random_inputs(random_batch(config), jax.random.key(0), 0, mixup=True)
    mixed = augment_batch(batch, jnp.int32(0), 0, lambda images, keys: images, config)
    for name, source in (("target", "label"), ("image", "image")):
        scale = 255 if name == "image" else 1
        ends = np.stack([batch[source], batch["partner"][source]]) / scale
        assert np.all((ends.min(0) - 1e-6 <= mixed[name]) & (mixed[name] <= ends.max(0) + 1e-6))
        assert not np.array_equal(mixed[name], ends[0])
    assert "partner" not in mixed


def test_the_sums_of_an_epoch_begin_with_its_first_step():
    before = EpochSums(correct=jnp.float32(5), films=jnp.float32(16), loss=jnp.float32(9))
    sums = BatchSums(jnp.float32(3), jnp.float32(2), Moments(jnp.zeros(0), jnp.zeros(0)))
    for begins, expected in ((False, (8, 20, 11)), (True, (3, 4, 2))):
        after = add_to_epoch(before, sums, jnp.float32(4), jnp.bool_(begins))
        assert (after.correct, after.films, after.loss) == expected


def test_a_young_average_forgets_the_initial_weights_sooner():
    average, latest = {"weight": jnp.float32(0)}, {"weight": jnp.float32(1)}
    moved = [moving_average(average, latest, 0.9, jnp.int32(s))["weight"] for s in (0, 8, 1_000)]
    np.testing.assert_allclose(moved, [0.9, 0.5, 0.1], rtol=1e-6)
