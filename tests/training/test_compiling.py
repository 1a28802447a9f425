"""Compiled steps: runs that differ in their numbers alone share one, and a stored one is exact."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from pneumojax.configs import base, reference
from pneumojax.inference.network import make_network
from pneumojax.sharding import make_mesh, placed
from pneumojax.traced import TracedStore
from pneumojax.training import compiling, setup
from pneumojax.training.compiling import Held, compile_step
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.recipe import recipe_of
from pneumojax.training.setup import begin_state
from pneumojax.training.state import abstract_state, initial_state
from pneumojax.training.step import RunNumbers, make_train_step
from tests.support.random_batch import batch_of


def with_fields(module, **fields):
    config = module.get_config()
    config.update_from_flattened_dict(
        {name.replace("__", "."): value for name, value in fields.items()}
    )
    return config


def test_runs_that_differ_in_seed_or_films_share_a_step():
    ours = recipe_of(with_fields(base), 10)
    others = with_fields(base, seed=7, name="x", epochs=2, data__root="films", log__every_steps=9)
    assert recipe_of(others, 20) == ours
    assert recipe_of(with_fields(reference), 10) != recipe_of(with_fields(reference), 20)  # a decay


@pytest.mark.parametrize(
    "field",
    [
        {"batch_size": 32},
        {"data__image_size": 112},
        {"data__normalise": "film"},
        {"model__dropout": 0.1},
        {"loss__label_smoothing": 0.1},
        {"optimizer__learning_rate": 2e-3},
        {"augment__noise": 0.1},
        {"average__decay": 0.9},
        {"finetune__backbone_rate": 0.1},
        {"precision": "highest"},
        {"statistics_over": "device"},
        {"microbatch_size": 2},
        {"test_time__views": ("flip",)},
    ],
)
def test_a_field_that_may_change_the_step_changes_its_recipe(field):
    assert recipe_of(with_fields(base, **field), 10) != recipe_of(with_fields(base), 10)


@pytest.mark.parametrize(
    "field", [{"model__network": "own.networks:Own"}, {"distill__teachers": ("runs/a",)}]
)
def test_a_step_that_depends_on_more_than_its_config_has_no_recipe(field):
    assert recipe_of(with_fields(base, **field), 10) is None


def final_state(config, numbers, stored):
    """The leaves of a state after three steps, from the same first state."""
    mesh, network = make_mesh(), make_network(config)
    optimizer = make_optimizer(config, 10)
    state = jax.jit(lambda: initial_state(config, optimizer, np.uint32(1)))()
    step = make_train_step(config, network, optimizer, 10, mesh)
    if not stored:
        step = replace(step, recipe=None)
    held = Held(numbers=jax.device_put(numbers))
    compiled = compile_step(step, state, config, mesh, held=held)
    batch = jax.device_put(batch_of(config, seed=5))
    for _ in range(3):
        state, _ = compiled(state, batch, held)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def equal(a, b):
    return all(map(np.array_equal, a, b))


@pytest.mark.slow
def test_a_stored_step_gives_the_bits_of_a_traced_one_for_every_seed(config, tmp_path, monkeypatch):
    with config.unlocked():
        config.model.norm, config.average.decay, config.augment.rotation = "batch", 0.9, 10.0
    monkeypatch.setattr(compiling, "store_for", lambda mesh: TracedStore(tmp_path))
    results = []
    for seed in (3, 4):
        numbers = RunNumbers(np.uint32(seed), np.int32(2), np.array([0.5, 1.5], np.float32))
        traced = final_state(config, numbers, stored=False)
        stored = [final_state(config, numbers, stored=True) for _ in range(2)]
        assert equal(stored[0], traced)
        assert equal(stored[1], traced)
        results.append(traced)
    assert not equal(*results)
    assert len(list(tmp_path.iterdir())) == 1  # one program for both seeds


@pytest.mark.parametrize(
    "fields", [{}, {"model.norm": "batch", "average.decay": 0.9}, {"finetune.frozen_epochs": 1}]
)
def test_the_shapes_of_the_first_state_are_known_without_tracing_it(config, fields):
    with config.unlocked():
        config.update_from_flattened_dict(fields)
    optimizer = make_optimizer(config, 10)
    traced = jax.eval_shape(lambda: initial_state(config, optimizer))
    assert abstract_state(config, make_network(config), optimizer) == traced


@pytest.mark.slow
def test_the_first_state_is_the_same_whether_its_program_was_stored(config, tmp_path, monkeypatch):
    optimizer, mesh = make_optimizer(config, 10), make_mesh()
    abstract = placed(abstract_state(config, make_network(config), optimizer), mesh)
    states = []
    for store in (None, TracedStore(tmp_path), TracedStore(tmp_path)):
        monkeypatch.setattr(setup, "store_for", lambda mesh, store=store: store)
        state = begin_state(config, optimizer, abstract, mesh)
        states.append([np.asarray(leaf) for leaf in jax.tree.leaves(state)])
    assert equal(states[0], states[1])
    assert equal(states[0], states[2])
    with config.unlocked():
        config.seed += 1
    other = jax.tree.leaves(begin_state(config, optimizer, abstract, mesh))
    assert not equal(states[0], map(np.asarray, other))
