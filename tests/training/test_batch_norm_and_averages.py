"""Batch norm's running statistics, the average of weights, test-time views, early stopping."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.configs import base
from pneumojax.inference.network import VIEWS, make_network, summed_logits, views_of
from pneumojax.nn.layers import standardised
from pneumojax.nn.ops import plain_operations
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.history import read_history
from pneumojax.sharding import make_mesh, placed
from pneumojax.training.loop import train
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import DECAY, TrainState, evaluation_params, initial_state
from pneumojax.training.step import make_train_step
from tests.support.random_batch import batch_of


def changed(config, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return config


def stepper(config):
    network, optimizer = make_network(config), make_optimizer(config, 10)
    step = jax.jit(make_train_step(config, network, optimizer, 10, make_mesh()))
    return step, jax.jit(lambda: initial_state(config, optimizer))(), network


@pytest.fixture(scope="module")
def normed():
    """A step with batch norm and an average of weights, its first state and its network."""
    fields = {
        "batch_size": 16,
        "data__image_size": 32,
        "model__stem": (4, 4, 8),
        "model__modules": ((4, 4, 4, 2, 4, 4),),
        "model__norm": "batch",
        "average__decay": 0.9,
    }
    config = changed(base.get_config(), **fields)
    return config, *stepper(config)


@pytest.mark.slow
def test_running_statistics_are_the_whole_batchs(normed):
    """This is checked on the first layer, whose input is known, with and without microbatches."""
    config, step, state, network = normed
    batch = batch_of(config)
    kernel = state.params["stem1"]["kernel"]
    images = jnp.broadcast_to(batch["image"] / 255, (*batch["image"].shape[:3], kernel.shape[2]))
    seen = jax.lax.conv_general_dilated(
        images.astype(jnp.float32),
        kernel,
        (2, 2),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    few = stepper(changed(config, microbatch_size=4))[0]
    for new in (step(state, batch)[0], few(state, batch)[0]):
        statistics = new.statistics["stem1"]["norm"]
        share = 1 - DECAY
        # Sums of float32 in another order.
        np.testing.assert_allclose(statistics["mean"], share * seen.mean((0, 1, 2)), atol=1e-6)
        np.testing.assert_allclose(
            statistics["var"], 1 - share + share * seen.var((0, 1, 2)), rtol=1e-5
        )


@pytest.mark.slow
def test_evaluation_goes_by_running_statistics_and_training_by_the_batchs(normed):
    config, step, state, network = normed
    batch = batch_of(config)
    params = evaluation_params(network, state)
    films = batch["image"][:3].astype(np.float32) / 255
    evaluate = jax.jit(network.evaluation_logits)
    alone = evaluate(params, films[:1])
    # The same film beside others: convolutions of another batch size may round differently.
    np.testing.assert_allclose(evaluate(params, films)[:1], alone, atol=1e-5)
    _, metrics = step(state, batch)
    other = dict(batch, image=batch["image"].copy())
    other["image"][1:] //= 4
    _, others = step(state, other)
    assert metrics["loss"] != others["loss"]


@pytest.mark.slow
def test_the_average_is_what_is_evaluated_and_lags_behind_the_weights(normed):
    config, step, state, network = normed
    batch = batch_of(config)
    new, _ = step(state, batch)
    decay = min(0.9, 1 / 10)  # at step 0
    first, second = (
        np.asarray(network.join(s.params, s.statistics)["stem1"]["kernel"]) for s in (state, new)
    )
    expected = decay * first + (1 - decay) * second
    np.testing.assert_allclose(
        evaluation_params(network, new)["stem1"]["kernel"], expected, rtol=1e-5
    )
    for step_number in range(1, 4):
        new = replace(new, step=jnp.int32(1_000 + step_number))  # old enough for the full decay
        before = np.asarray(new.average["stem1"]["kernel"])
        new, _ = step(new, batch)
        after = 0.9 * before + 0.1 * np.asarray(new.params["stem1"]["kernel"])
        np.testing.assert_allclose(new.average["stem1"]["kernel"], after, rtol=1e-4, atol=1e-7)


def test_what_is_divided_is_joined_again(normed):
    *_, network = normed
    params, statistics = network.divide(network.abstract_params)
    assert network.join(params, statistics) == network.abstract_params
    assert set(statistics["stem1"]["norm"]) == {"mean", "var"}
    assert set(params["stem1"]["norm"]) == {"scale", "bias"}


def test_a_standardised_film_does_not_tell_its_brightness_and_contrast():
    films = jax.random.uniform(jax.random.key(0), (2, 20, 20, 1))
    np.testing.assert_allclose(
        standardised(films), standardised(0.2 + 0.5 * films), atol=1e-4
    )  # because of the epsilon under the root
    assert float(standardised(films).std()) == pytest.approx(1, abs=1e-3)
    assert not np.any(standardised(jnp.full((1, 20, 20, 1), 0.3)) > 1e-3)


def test_views_are_averaged_in_logits():
    films = jax.random.uniform(jax.random.key(0), (3, 10, 10, 1))

    def left(images):
        return images[:, :, :5].sum((1, 2, 3))

    (mirrored,) = views_of(films, ("flip",))
    both = summed_logits(left, [films, mirrored])
    np.testing.assert_allclose(both, films.sum((1, 2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(summed_logits(left, [films]), left(films))
    with plain_operations(True):  # as in an export, without a loop
        np.testing.assert_allclose(summed_logits(left, [films, mirrored]), both, rtol=1e-6)
    ramp = jnp.broadcast_to(jnp.arange(20.0)[None, :, None, None], (1, 20, 20, 1))
    zoomed = VIEWS["zoom"](ramp)[0, :, 10, 0]
    np.testing.assert_allclose(zoomed, 9.5 + 0.9 * (np.arange(20) - 9.5), atol=1e-5)


@pytest.mark.slow
def test_training_ends_when_validation_stopped_getting_better(config, tmp_path, cache_dir, capsys):
    """With a learning rate of 0 the first epoch stays the best."""
    config = changed(
        config, epochs=5, early_stopping__patience=2, optimizer__learning_rate=0.0
    ).lock()
    train(config, tmp_path / "run", cache_dir)
    assert [line["epoch"] for line in read_history(tmp_path / "run")] == [1, 2, 3]
    assert "stopping: 2 epochs without a better loss" in capsys.readouterr().out
    train(config, tmp_path / "run", cache_dir)
    assert "finished: this run has trained 3 of 5 epochs" in capsys.readouterr().out


@pytest.mark.slow
def test_the_last_epoch_is_best_where_it_is_asked_for_and_keeps_statistics_and_average(
    config, tmp_path, cache_dir
):
    config = changed(
        config,
        model__norm="batch",
        average__decay=0.9,
        checkpoint__best_metric="last",
        data__val_fraction=0.0,
    ).lock()
    train(config, tmp_path / "run", cache_dir)
    network, mesh = make_network(config), make_mesh()
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    best, meta = checkpoints.restore_best(placed(network.abstract_params, mesh))
    begin = jax.eval_shape(lambda: initial_state(config, make_optimizer(config, 1)))
    items, _ = checkpoints.restore_latest(placed(begin, mesh).to_items())
    state = TrainState.from_items(items)
    assert meta["epoch"] == config.epochs
    jax.tree.map(np.testing.assert_array_equal, best, state.average)
