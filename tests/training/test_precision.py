"""With bfloat16 activations, parameters, sums and logits are float32, and training follows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pneumojax.configs import base
from pneumojax.data.pipeline import BatchOrder, to_devices, training_batches
from pneumojax.data.splits import load_splits
from pneumojax.inference.network import make_network
from pneumojax.nn.blocks import MainHead
from pneumojax.nn.layers import Conv
from pneumojax.sharding import make_mesh, replicated
from pneumojax.training.compiling import compile_step
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.step import make_train_step

STEPS = 16


@pytest.fixture(scope="module")
def runs(films_root, cache_dir):
    """{dtype: (state after the first step, metrics of each step)} from equal weights and films."""
    found = {}
    for dtype in ("float32", "bfloat16"):
        config = base.get_config()
        config.data.root, config.data.image_size = str(films_root), 32
        config.model.stem, config.model.modules = (4, 4, 8), ((4, 4, 8, 2, 4, 4),)
        config.model.heads = ("main", "auxiliary")
        config.batch_size, config.model.dtype = 16, dtype
        films = load_splits(config, cache_dir, log=lambda line: None).train
        mesh, network, optimizer = make_mesh(), make_network(config), make_optimizer(config, 1)
        begin = jax.jit(lambda c=config, o=optimizer: initial_state(c, o))
        state = jax.device_put(begin(), replicated(mesh))
        train_step = make_train_step(config, network, optimizer, 1_000, mesh)
        step = compile_step(train_step, state, config, mesh)
        order = BatchOrder(films.labels, 16, seed=0)
        batches = to_devices(training_batches(films, order, order.calls()), mesh)
        batch = next(batches)
        # With films of one class, gradients do not cancel to less than their rounding.
        state, metrics = step(state, batch | {"label": jnp.ones_like(batch["label"])})
        first, metrics = jax.device_get(state), [metrics]
        for _ in range(STEPS - 1):
            state, figures = step(state, next(batches))
            metrics.append(figures)
        found[dtype] = (first, jax.device_get(metrics))
    return found


@pytest.mark.slow
def test_parameters_moments_sums_and_metrics_are_float32(runs):
    state, metrics = runs["bfloat16"]
    kept = jax.tree.leaves((state, metrics))
    assert {str(leaf.dtype) for leaf in kept} == {"float32", "int32"}  # int32: two counters
    assert sum(leaf.dtype == np.int32 for leaf in kept) == 2


def test_convolutions_are_bfloat16_and_logits_float32():
    config = base.get_config()
    config.model.dtype = "bfloat16"
    network = make_network(config)
    film = jax.ShapeDtypeStruct((2, 150, 150, 1), jnp.float32)
    program = str(jax.make_jaxpr(network.logits)(network.abstract_params, film))
    lines = [line for line in program.splitlines() if "= conv_general_dilated" in line]
    assert len(lines) >= 14 and all(":bf16[" in line for line in lines)
    logits = jax.eval_shape(network.logits, network.abstract_params, film)
    assert {leaf.dtype for leaf in jax.tree.leaves(logits)} == {jnp.dtype("float32")}


def test_a_bias_gradient_is_summed_in_float32():
    conv = Conv(1, 1, (1, 1), dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    definition, params = nnx.split(conv, nnx.Param)
    films = jnp.ones((2, 64, 64, 1), jnp.bfloat16)

    def total(params):
        return jnp.sum(nnx.merge(definition, params)(films).astype(jnp.float32))

    gradient = jax.grad(total)(jax.tree.map(jnp.ones_like, nnx.to_pure_dict(params)))
    # The gradient is 1 for each position. In bfloat16, adding ones stops at 256.
    assert gradient["bias"] == 2 * 64 * 64


@pytest.mark.slow
def test_logits_are_not_rounded_to_bfloat16():
    head = MainHead(8, dropout=0.0, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    logits = head(jax.random.normal(jax.random.key(0), (64, 4, 4, 8)).astype(jnp.bfloat16))
    rounded = logits.astype(jnp.bfloat16).astype(jnp.float32)
    assert jnp.mean(logits != rounded) > 0.9  # otherwise many films would tie in a ranking


@pytest.mark.slow
def test_the_gradient_is_float32s_to_what_eight_bits_allow(runs):
    # After one step from zero Adam's first moment is a tenth of the gradient.
    moments = [runs[dtype][0].optimizer[0].mu for dtype in ("float32", "bfloat16")]
    exact, rounded = (np.concatenate([x.ravel() for x in jax.tree.leaves(m)]) for m in moments)
    error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    # A rounding is off by at most 2^-9 = 0.2 %. A value on its way forward and back is rounded
    # some 30 times; independent errors add up to sqrt(30) x 0.2 % = 1.1 %, and now and then a
    # ReLU or a pool decides otherwise. An error above zero shows that bfloat16 was used.
    assert 1e-4 < error < 0.03


@pytest.mark.slow
def test_a_short_run_follows_float32(runs):
    exact, rounded = (
        np.array([float(figures["loss"]) for figures in runs[dtype][1]])
        for dtype in ("float32", "bfloat16")
    )
    # The logits of so young a network stay below 0.5, and 1.1 % of them is 0.005; the loss moves
    # by no more than they do.
    np.testing.assert_allclose(rounded, exact, atol=0.005)
