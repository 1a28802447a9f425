"""Fine-tuning: which parameters move, when, and how far."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from pneumojax.configs import base
from pneumojax.errors import UserError
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.parameter_groups import groups_of, print_groups

PARAMS = {
    "stem1": {"kernel": jnp.ones((2, 2))},
    "modules": {0: {"kernel": jnp.ones((2, 2))}, 10: {"kernel": jnp.ones((2, 2))}},
    "main_head": {"kernel": jnp.ones((2, 2))},
}


def configured(**fields):
    config = base.get_config()
    config.epochs = 4
    config.finetune.update(fields)
    return config


def moved(config, steps, per_epoch=2):
    """How far each parameter is from its beginning after each step of constant gradients."""
    optimizer = make_optimizer(config, per_epoch)
    params, state = PARAMS, None
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    far = []
    for _ in range(steps):
        updates, state = update(jax.tree.map(jnp.ones_like, params), state, params)
        params = jax.tree.map(jnp.add, params, updates)
        far.append(
            {
                "/".join(map(str, k[:-1])): float(1 - v[0, 0])
                for k, v in flatten_dict(params).items()
            }
        )
    return far


def test_the_backbone_stays_until_it_is_unfrozen_and_then_steps_as_if_it_were_new():
    far = moved(configured(frozen_epochs=2, unfreeze_from="modules/10", backbone_rate=0.1), 6)
    rate = base.get_config().optimizer.learning_rate
    for step in range(6):
        assert far[step]["main_head"] == pytest.approx((step + 1) * rate, rel=1e-3)
        assert far[step]["stem1"] == far[step]["modules/0"] == 0
        expected = max(0, step - 3) * 0.1 * rate  # two epochs of two steps
        assert far[step]["modules/10"] == pytest.approx(expected, rel=1e-2, abs=1e-8)


def test_the_backbones_rate_is_that_of_the_runs_step():
    config = configured(frozen_epochs=2)
    config.optimizer.schedule = "cosine"
    far = moved(config, 6)
    head = np.diff([step["main_head"] for step in far])
    backbone = np.diff([step["stem1"] for step in far])
    np.testing.assert_allclose(backbone[3:], head[3:], rtol=1e-2)  # steps 5 and 6
    np.testing.assert_array_equal(backbone[:3], 0)


def test_groups_are_told_in_the_networks_order(capsys):
    config = configured(frozen_epochs=1, unfreeze_from="modules/0", backbone_rate=0.5)
    labels = {k[:-1]: v for k, v in flatten_dict(groups_of(config, PARAMS)).items()}
    assert labels == {
        ("stem1",): "frozen",
        ("modules", 0): "backbone",
        ("modules", 10): "backbone",
        ("main_head",): "heads",
    }
    print_groups(config, PARAMS, steps_per_epoch=7)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["heads", "main_head", "0.001", "1", "4"]
    assert lines[2].split() == ["backbone", "modules/0,", "modules/10", "0.0005", "8", "8"]
    assert lines[3].split() == ["frozen", "stem1", "0", "never", "4"]


def test_a_stage_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(UserError, match="stages are stem1, modules/0, modules/10"):
        groups_of(configured(unfreeze_from="modules/3"), PARAMS)
