"""The training state: its parts, its saved form and its order of leaves."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from pneumojax.inference.network import make_network
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import TrainState, evaluation_params, initial_state

NORM_AND_AVERAGE = {"model.norm": "batch", "average.decay": 0.9}


def abstract_state(config, fields):
    with config.unlocked():
        config.update_from_flattened_dict(fields)
    return jax.eval_shape(lambda: initial_state(config, make_optimizer(config, 1)))


@pytest.mark.parametrize(
    ("fields", "optional"), [({}, set()), (NORM_AND_AVERAGE, {"statistics", "average"})]
)
def test_the_saved_form_has_a_key_for_each_part_that_is_there(config, fields, optional):
    state = abstract_state(config, fields)
    items = state.to_items()
    assert items.keys() == {"params", "training"}
    assert items["training"].keys() == {"step", "optimizer", "epoch_sums"} | optional
    assert items["training"]["epoch_sums"].keys() == {"loss", "correct", "films"}
    assert TrainState.from_items(items) == state


def test_leaves_are_in_the_order_of_the_dict_that_earlier_versions_compiled(config):
    state = abstract_state(config, NORM_AND_AVERAGE)
    items = state.to_items()
    earlier = {**items["training"], "params": items["params"]}
    assert jax.tree.leaves(state) == jax.tree.leaves(earlier)
    paths = [path for path, _ in jax.tree.leaves_with_path(earlier)]
    own = [jax.tree_util.keystr(path, simple=True) for path, _ in jax.tree.leaves_with_path(state)]
    assert own == [jax.tree_util.keystr(path, simple=True) for path in paths]


def test_the_average_is_evaluated_where_there_is_one(config):
    shapes = abstract_state(config, NORM_AND_AVERAGE)
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    average = jax.tree.map(np.ones_like, state.average)
    network = make_network(config)
    found = evaluation_params(network, replace(state, average=average))
    assert all(np.all(leaf == 1) for leaf in jax.tree.leaves(found))
    own = evaluation_params(network, replace(state, average=None))
    assert jax.tree.structure(own) == jax.tree.structure(found)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(own))
