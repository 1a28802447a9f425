"""Branches computed with shortcuts give what their layers give one after the other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pneumojax.nn.branches import BranchedModule
from pneumojax.nn.layers import AveragePool, Conv, MaxPool, convolve

CHANNELS = 6


class EveryKind(BranchedModule):
    """Has every kind of branch, and two of those that begin with a 1x1 convolution."""

    def __init__(self, norm, count_padding):
        conv = partial(Conv, norm=norm, rngs=nnx.Rngs(0))
        self.single = conv(CHANNELS, 5, (1, 1))
        self.narrow, self.end = conv(CHANNELS, 3, (1, 1)), conv(3, 4, (3, 1))
        self.narrow2 = conv(CHANNELS, 2, (1, 1))
        self.row, self.column = conv(2, 4, (1, 3)), conv(2, 3, (3, 1))
        self.behind_max = conv(CHANNELS, 3, (1, 1))
        self.mean, self.behind_mean = AveragePool(count_padding), conv(CHANNELS, 2, (1, 1))

    def __call__(self, x):
        same = MaxPool(strides=(1, 1), padding="SAME")
        return self._concatenate(
            x,
            [self.single],
            [self.narrow, self.end],
            [self.narrow2, (self.row, self.column)],
            [same, self.behind_max],
            [self.mean, self.behind_mean],
            [same],
        )


def built(norm, count_padding, training=False):
    """The module with values drawn by NumPy, which needs no compilation."""
    definition, shapes = nnx.split(nnx.eval_shape(lambda: EveryKind(norm, count_padding)))
    rng = np.random.default_rng(0)

    def draw(leaf):
        drawn = rng.normal(size=leaf.shape) if leaf.ndim > 1 else rng.uniform(0.5, 1.5, leaf.shape)
        return drawn.astype(np.float32)

    module = nnx.merge(definition, jax.tree.map(draw, shapes))
    module.set_attributes(nnx.BatchNorm, use_running_average=not training, raise_if_not_found=False)
    return module


def result_gradients_and_statistics(module, x):
    definition, arrays = nnx.split(module)

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiles faster
    def run(arrays, x):
        def result(arrays, x):
            module = nnx.merge(definition, arrays)
            return module(x), nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

        y, pull, kept = jax.vjp(result, arrays, x, has_aux=True)
        return y, pull(jax.random.normal(jax.random.key(1), y.shape)), kept

    return run(nnx.to_pure_dict(arrays), x)


@pytest.mark.slow
@pytest.mark.parametrize(
    "norm, training, count_padding",
    [
        ("none", True, True),
        pytest.param("batch", True, False, marks=pytest.mark.slow),
        pytest.param("batch", False, True, marks=pytest.mark.slow),
    ],
)
def test_shortcuts_change_no_result_gradient_or_statistic(norm, training, count_padding):
    x = np.random.default_rng(0).normal(size=(2, 7, 9, CHANNELS)).astype(np.float32)
    module = built(norm, count_padding, training)
    fused = result_gradients_and_statistics(module, x)
    module.set_attributes(BranchedModule, fused=False)
    layer_by_layer = result_gradients_and_statistics(module, x)
    assert fused[0].shape == (2, 7, 9, 5 + 4 + 4 + 3 + 3 + 2 + CHANNELS)
    # Sums are in another order: of 126 positions, and of the gradient of x over branches.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 2e-5, 2e-5 * max(1, np.abs(b).max())),
        fused,
        layer_by_layer,
    )


def test_first_layers_are_one_convolution_and_pools_stand_behind_theirs(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "pneumojax.nn.branches.convolve",
        lambda convs, x: seen.append((len(convs), x.shape[-1])) or convolve(convs, x),
    )
    built("none", False)(jnp.zeros((1, 7, 9, CHANNELS)))
    one_at_each_end = [(1, 3), (1, 2), (1, 2), (1, CHANNELS)]
    assert seen == [(4, CHANNELS), *one_at_each_end]


def test_an_order_of_branches_that_would_permute_channels_is_refused():
    module = built("none", False)
    with pytest.raises(ValueError, match="order"):
        module._concatenate(jnp.zeros((1, 7, 9, CHANNELS)), [MaxPool()], [module.single])
