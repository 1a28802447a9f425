"""The training step as it is lowered for accelerators, which needs no accelerator."""

import functools
from collections import Counter
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.configs import base, inception_v3, reference, two_heads
from pneumojax.inference.forward import microbatch_size
from pneumojax.inference.gradcam import make_explainer
from pneumojax.inference.network import make_network
from pneumojax.sharding import make_mesh
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.step import make_train_step
from tests.nn.stock import use_stock_primitives
from tests.support.lowered import described, operations

FILMS = 4


def inception_v3_as_published():
    config = inception_v3.get_config()
    config.data.image_size, config.augment.size = 299, 0
    config.model.heads = ("main", "auxiliary")
    return config


CONFIGS = {
    "base": base.get_config,
    "two_heads": two_heads.get_config,
    "reference": reference.get_config,
    "inception_v3": inception_v3_as_published,
}
AVERAGE_POOLS = {"base": 1, "two_heads": 1, "reference": 0, "inception_v3": 10}
ALL = ["base", *(pytest.param(name, marks=pytest.mark.slow) for name in [*CONFIGS][1:])]


@functools.cache
def traced_step(name, **fields):
    """The traced step of a config, and its state and batch; `fields` change some of its values."""
    config = CONFIGS[name]()
    config.batch_size = config.microbatch_size = FILMS  # all at once, as on an accelerator
    config.update_from_flattened_dict(fields)
    network, optimizer = make_network(config), make_optimizer(config, 10)
    step = make_train_step(config, network, optimizer, 10, make_mesh())
    state = jax.eval_shape(lambda: initial_state(config, optimizer))
    size = config.data.image_size
    batch = {
        "image": jax.ShapeDtypeStruct((FILMS, size, size, 1), jnp.uint8),
        "label": jax.ShapeDtypeStruct((FILMS,), jnp.int32),
        "mask": jax.ShapeDtypeStruct((FILMS,), jnp.float32),
        "film": jax.ShapeDtypeStruct((FILMS,), jnp.int32),
    }
    return jax.jit(step).trace(state, batch), state, batch


def counted(traced, platform, *names):
    """How often the lowered program runs each operation of these names."""
    lowered = traced.lower(lowering_platforms=(platform,))
    found = (o for o in operations(lowered) if o.name.removeprefix("stablehlo.") in names)
    return Counter(map(described, found))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, "float32") for name in CONFIGS),
        ("two_heads", "bfloat16"),
        ("inception_v3", "bfloat16"),
    ],
)
def test_convolutions_and_their_gradients_are_those_that_jax_derives(name, dtype, monkeypatch):
    fields = {"model.dtype": dtype}
    ours = traced_step(name, **fields)[0]
    use_stock_primitives(monkeypatch)
    stock = traced_step.__wrapped__(name, **fields)[0]
    for platform in ("cuda", "tpu"):
        # A kernel that JAX reads backwards is a separate operation.
        found = counted(ours, platform, "convolution", "reverse")
        assert found == counted(stock, platform, "convolution", "reverse")
        assert sum(found.values()) > 60


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_pools_are_window_operations(name, monkeypatch):
    ours = traced_step(name)[0]
    use_stock_primitives(monkeypatch)
    stock = traced_step.__wrapped__(name)[0]
    # This operation is the gradient of a max pool.
    gradients = counted(stock, "tpu", "select_and_scatter")
    assert counted(ours, "tpu", "select_and_scatter") == gradients
    assert not counted(ours, "cuda", "select_and_scatter", "scatter")
    for platform in ("cuda", "tpu"):
        windows = counted(stock, platform, "reduce_window")
        found = counted(ours, platform, "reduce_window")
        # A stock average pool has one more, which counts the values in each window.
        assert found <= windows and (windows - found).total() == AVERAGE_POOLS[name]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_a_step_takes_only_its_state_and_batch_and_calls_nothing_outside(name, platform):
    traced, state, batch = traced_step(name)
    lowered = traced.lower(lowering_platforms=(platform,))
    main = lowered.compiler_ir("stablehlo").body.operations[0]
    # JAX drops arguments that the step does not use: without augmentation, the films' numbers.
    assert len(main.arguments) <= len(jax.tree.leaves((state, batch)))
    run = list(operations(lowered))
    names = {operation.name.removeprefix("stablehlo.") for operation in run}
    assert not names & {"while", "custom_call", "all_reduce", "all_gather"}
    assert not [text for text in map(described, run) if "f64" in text or "tensor<?" in text]


def test_all_films_of_a_device_pass_at_once():
    devices = np.array([SimpleNamespace(platform="gpu")])
    assert microbatch_size(64, SimpleNamespace(devices=devices)) == 64


def test_in_bfloat16_only_what_lies_between_parameters_and_logits_is_bfloat16():
    traced, state, _ = traced_step("base", **{"model.dtype": "bfloat16"})
    kept = {str(leaf.dtype) for leaf in jax.tree.leaves((state, traced.out_info))}
    assert kept == {"float32", "int32"}
    lowered = traced.lower(lowering_platforms=("cuda",))
    kinds = Counter()
    for operation in operations(lowered):
        values = [*operation.operands, *operation.results]
        types = {str(value.type.element_type) for value in values}
        kinds[operation.name.removeprefix("stablehlo."), *sorted(types)] += 1
    products = {kind: n for kind, n in kinds.items() if kind[0] in ("convolution", "dot_general")}
    assert products == {
        ("convolution", "bf16"): 3 * 16 - 1,  # forward and two gradients; none of the films
        ("dot_general", "bf16"): 3,  # the head's hidden layer
        ("dot_general", "f32"): 3,  # its logit
    }
    assert kinds["reduce", "bf16"] == 1  # the bias gradient of the hidden layer; all others are f32


@pytest.mark.parametrize(("precision", "lowered"), [("default", "DEFAULT"), ("highest", "HIGHEST")])
def test_the_precision_of_the_config_reaches_every_product_and_its_gradients(precision, lowered):
    traced = traced_step("base", precision=precision)[0]
    found = counted(traced, "cuda", "convolution", "dot_general")
    assert sum(found.values()) == 3 * 16 - 1 + 6
    product = f"#stablehlo<precision {lowered}>"
    assert all(f"precision_config=[{product}, {product}]" in text for text in found)


@pytest.mark.slow
def test_the_precision_of_the_config_reaches_explanations():
    config = base.get_config()
    config.precision = "highest"
    network = make_network(config)
    films = jax.ShapeDtypeStruct((1, 150, 150, 1), jnp.uint8)
    explain = jax.jit(make_explainer(network, make_mesh()))
    found = counted(explain.trace(network.abstract_params, films), "cuda", "convolution")
    assert found and all("precision HIGHEST" in text for text in found)
