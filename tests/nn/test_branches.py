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
    """Has every kind of branch, most of them twice."""

    def __init__(self, norm, count_padding):
        conv = partial(Conv, norm=norm, rngs=nnx.Rngs(0))
        self.singles = nnx.List([conv(CHANNELS, width, (1, 1)) for width in (5, 3)])
        self.narrow = nnx.List([conv(CHANNELS, width, (1, 1)) for width in (4, 2)])
        self.middle, self.end = conv(4, 3, (3, 1)), conv(3, 5, (1, 3))
        self.row, self.column = conv(2, 4, (1, 3)), conv(2, 3, (3, 1))
        self.square = conv(CHANNELS, 2, (3, 3))
        self.behind_max = conv(CHANNELS, 3, (1, 1))
        self.behind_mean = nnx.List([conv(CHANNELS, width, (1, 1)) for width in (2, 4)])
        self.mean = AveragePool(count_padding)

    def __call__(self, x):
        same = MaxPool(strides=(1, 1), padding="SAME")
        return self._concatenate(
            x,
            *([single] for single in self.singles),
            [self.narrow[0], self.middle, self.end],
            [self.square],
            [self.narrow[1], (self.row, self.column)],
            [same, self.behind_max],
            *([self.mean, conv] for conv in self.behind_mean),
            [same],
        )


def with_random_values(module, training):
    rng = np.random.default_rng(0)
    for _, leaf in nnx.iter_graph(module):
        if isinstance(leaf, nnx.Variable) and leaf.ndim == 1:
            leaf[...] = rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
    module.set_attributes(nnx.BatchNorm, use_running_average=not training, raise_if_not_found=False)
    return module


def result_gradients_and_statistics(module, x):
    definition, arrays = nnx.split(module)

    @jax.jit
    def run(arrays, x):
        def result(arrays, x):
            module = nnx.merge(definition, arrays)
            return module(x), nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

        y, pull, kept = jax.vjp(result, arrays, x, has_aux=True)
        return y, pull(jax.random.normal(jax.random.key(1), y.shape)), kept

    return run(nnx.to_pure_dict(arrays), x)


@pytest.mark.parametrize("norm, training", [("none", True), ("batch", True), ("batch", False)])
@pytest.mark.parametrize("count_padding", [False, True])
def test_shortcuts_change_no_result_gradient_or_statistic(norm, training, count_padding):
    x = np.random.default_rng(0).normal(size=(2, 7, 9, CHANNELS)).astype(np.float32)
    module = with_random_values(EveryKind(norm, count_padding), training)
    fused = result_gradients_and_statistics(module, x)
    module.set_attributes(BranchedModule, fused=False)
    layer_by_layer = result_gradients_and_statistics(module, x)
    assert fused[0].shape == (2, 7, 9, 5 + 3 + 5 + 2 + 4 + 3 + 3 + 2 + 4 + CHANNELS)
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
    EveryKind("none", False)(jnp.zeros((1, 7, 9, CHANNELS)))
    one_each_at_the_ends = [(1, 3), (1, CHANNELS), (1, 2), (1, 2), (1, CHANNELS)]
    assert seen == [(6, CHANNELS), *one_each_at_the_ends]


def test_an_order_of_branches_that_would_permute_channels_is_refused():
    module = EveryKind("none", False)
    with pytest.raises(ValueError, match="order"):
        module._concatenate(jnp.zeros((1, 7, 9, CHANNELS)), [MaxPool()], [module.square])
