"""The primitives are `jax.lax`'s own in value and gradient, however they are called."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pneumojax.nn import ops, pools
from tests.nn import stock
from tests.support.lowered import operations

# window, strides, padding, (batch, height, width, channels)
CONVOLUTIONS = [
    ((3, 3), (2, 2), "VALID", (8, 15, 14, 3)),
    ((3, 3), (2, 2), "SAME", (3, 9, 8, 5)),
    ((3, 1), (1, 1), "SAME", (12, 7, 9, 4)),
    ((1, 5), (1, 2), "SAME", (1, 7, 11, 4)),
    ((1, 1), (1, 1), "SAME", (5, 6, 5, 7)),
    ((4, 2), (1, 3), "VALID", (2, 9, 10, 2)),
    ((1, 1), (2, 2), "VALID", (1, 9, 8, 3)),
]
POOLS = [
    ((3, 3), (2, 2), "VALID", (4, 15, 14, 3)),
    ((3, 3), (1, 1), "SAME", (3, 8, 7, 5)),
    ((2, 3), (2, 1), "SAME", (1, 9, 8, 2)),
    ((2, 2), (3, 3), "VALID", (2, 10, 11, 2)),
    ((5, 5), (3, 3), "VALID", (3, 11, 12, 4)),
]


def random(*shape, seed=0, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def value_and_gradients(function, *arguments):
    """The value, and the gradients for a cotangent that is the same for equal shapes."""

    @jax.jit
    def both(*arguments):
        value, back = jax.vjp(function, *arguments)
        return value, back(random(*value.shape, seed=9, dtype=value.dtype))

    return both(*arguments)


def assert_close(ours, theirs, relative):
    """Within `relative` of each array's largest value: sums are taken in another order."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.max(np.abs(a - b)) <= relative * np.max(np.abs(b))


@pytest.mark.parametrize(("window", "strides", "padding", "shape"), CONVOLUTIONS)
def test_convolution_is_that_of_lax_in_value_and_gradients(window, strides, padding, shape):
    x, kernel = random(*shape), random(*window, shape[-1], 6, seed=1)
    ours = value_and_gradients(lambda x, k: ops.convolution(x, k, strides, padding), x, kernel)
    theirs = value_and_gradients(lambda x, k: stock.convolution(x, k, strides, padding), x, kernel)
    assert_close(ours, theirs, 1e-6)


@pytest.mark.parametrize(("window", "strides", "padding", "shape"), POOLS)
def test_max_pool_is_that_of_lax_where_nothing_ties(window, strides, padding, shape):
    x = random(*shape)
    ours = value_and_gradients(lambda x: pools.max_pool(x, window, strides, padding), x)
    theirs = value_and_gradients(lambda x: stock.max_pool(x, window, strides, padding), x)
    assert_close(ours, theirs, 1e-6)


@pytest.mark.parametrize("values", [3, 10_000])  # few of them tie in most windows
@pytest.mark.parametrize(("window", "strides", "padding", "shape"), POOLS)
def test_the_gradient_of_a_max_pool_on_nvidia_gpus_is_that_of_lax(
    window, strides, padding, shape, values
):
    x = jnp.asarray(np.random.default_rng(0).integers(0, values, shape), jnp.float32)

    @jax.jit
    def both(x):
        pooled, back = jax.vjp(lambda x: stock.max_pool(x, window, strides, padding), x)
        gradient = random(*pooled.shape, seed=1)
        # A CPU does not call this function otherwise.
        ours = pools._max_gradient_by_positions(x, gradient, window, strides, padding)
        return ours, back(gradient)[0]

    assert_close(*both(x), 1e-6)


@pytest.mark.parametrize(
    ("window", "strides", "padding", "shape", "count_padding"),
    [(*pool, False) for pool in POOLS] + [(*pool, True) for pool in POOLS if pool[2] == "SAME"],
)
def test_average_pool_is_that_of_lax_in_value_and_gradient(
    window, strides, padding, shape, count_padding
):
    how = window, strides, padding, count_padding
    x = random(*shape)
    ours = value_and_gradients(lambda x: pools.average_pool(x, *how), x)
    assert_close(ours, value_and_gradients(lambda x: stock.average_pool(x, *how), x), 1e-6)


def test_bfloat16_is_summed_in_float32_and_returned_as_bfloat16():
    """Every product of a filter gradient is exact in float32; one rounding at the end is 2^-9."""
    x, kernel = random(6, 12, 13, 8, dtype=jnp.bfloat16), random(3, 3, 8, 6, dtype=jnp.bfloat16)

    def network(x, kernel):
        return ops.convolution(x, kernel, (1, 1), "SAME")

    ours = value_and_gradients(network, x, kernel)
    wide = value_and_gradients(network, x.astype(jnp.float32), kernel.astype(jnp.float32))
    assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {jnp.dtype("bfloat16")}
    # Only one of the two cotangents is rounded to bfloat16, which changes each term by 2^-8.
    assert_close(jax.tree.map(lambda a: a.astype(jnp.float32), ours), wide, 2**-7)
    # 256 values that bfloat16 tells apart, so that none ties.
    x = jnp.asarray(np.random.default_rng(0).permutation(256).reshape(1, 16, 16, 1), jnp.bfloat16)
    pooled = value_and_gradients(lambda x: pools.max_pool(x, (3, 3), (2, 2)), x)
    theirs = value_and_gradients(lambda x: stock.max_pool(x, (3, 3), (2, 2), "VALID"), x)
    assert_close(pooled, theirs, 2**-7)


def test_the_whole_gradient_of_a_tie_goes_to_the_first_row_of_the_first_column():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1].set(2).at[0, 0, 2].set(2).at[0, 3, 1].set(2)

    def gradient(x):
        return jax.vjp(lambda x: pools.max_pool(x, (4, 4), (4, 4)), x)[1](jnp.ones((1, 1, 1, 1)))[0]

    expected = np.zeros((1, 4, 4, 1))
    expected[0, 1, 1] = 1
    np.testing.assert_array_equal(gradient(x), expected)
    assert np.sum(gradient(jnp.zeros((1, 4, 4, 1)))) == 1


def small(x, kernel):
    """A small network of all three primitives."""
    x = pools.max_pool(ops.convolution(x, kernel, (1, 1), "SAME"), (3, 3), (2, 2))
    return jnp.sum(jnp.tanh(pools.average_pool(x, (2, 2), (1, 1))))


gradients_of_small = jax.grad(small, argnums=(0, 1))


def test_under_vmap_each_example_gets_what_it_gets_alone():
    x, kernel = random(3, 8, 9, 10, 4), random(3, 3, 3, 4, 5, seed=1)
    together = jax.jit(jax.vmap(gradients_of_small))(x, kernel)
    alone = [jax.jit(gradients_of_small)(x[i], kernel[i]) for i in range(3)]
    assert_close(together, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone), 1e-6)


def test_under_scan_each_turn_gives_what_it_gives_alone():
    x, kernel = random(3, 8, 9, 10, 4), random(3, 3, 4, 5, seed=1)
    _, scanned = jax.jit(lambda x, k: lax.scan(lambda k, x: (k, gradients_of_small(x, k)), k, x))(
        x, kernel
    )
    alone = [jax.jit(gradients_of_small)(x[i], kernel) for i in range(3)]
    assert_close(scanned, jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone), 1e-6)


def test_gradients_without_jit_are_those_with_jit():
    x, kernel = random(2, 9, 10, 4), random(3, 3, 4, 5, seed=1)
    assert_close(gradients_of_small(x, kernel), jax.jit(gradients_of_small)(x, kernel), 1e-6)


def test_a_cpu_gets_products_and_slices():
    def loss(x, kernel):
        return jnp.sum(pools.max_pool(ops.convolution(x, kernel), (3, 3), (2, 2)))

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    run = [o.name for o in operations(gradient.lower(random(4, 9, 10, 4), random(3, 3, 4, 5)))]
    assert run.count("stablehlo.convolution") == 2  # value and input gradient
    assert run.count("stablehlo.dot_general") == 9
    assert not {"stablehlo.select_and_scatter", "stablehlo.reduce_window"} & set(run)


SHARDED = """
import json, re
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from pneumojax.nn import ops, pools

mesh = Mesh(np.array(jax.devices()), ("data",))
rng = np.random.default_rng(0)
x, kernel = (rng.normal(size=s).astype(np.float32) for s in ((32, 9, 10, 4), (3, 3, 4, 5)))


def loss(kernel, x):
    x = pools.max_pool(ops.convolution(x, kernel, (1, 1), "SAME"), (3, 3), (2, 2))
    return jnp.sum(jnp.tanh(pools.average_pool(x, (2, 2), (1, 1))))


gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
placed = [jax.device_put(a, NamedSharding(mesh, PartitionSpec(*s)))
          for a, s in ((kernel, ()), (x, ("data",)))]
compiled = gradient.lower(*placed).compile()
text = compiled.as_text()
moves = {name: len(re.findall(rf" {name}(?:-start)?[(]", text))
         for name in ("all-reduce", "all-gather", "all-to-all", "collective-permute", "while")}
split = compiled(*placed)
whole = gradient(*(jax.device_put(a, jax.devices()[0]) for a in (kernel, x)))
print(json.dumps({
    "moves": moves,
    "specs": [str(g.sharding.spec) for g in split],
    "differences": [float(np.max(np.abs(a - np.asarray(b))) / np.max(np.abs(b)))
                    for a, b in zip(map(np.asarray, split), whole)],
}))
"""


@pytest.mark.slow
def test_over_a_split_batch_each_device_sums_its_own_films_and_nothing_is_gathered(
    on_virtual_devices,
):
    seen = json.loads(on_virtual_devices(SHARDED, 4))
    moves = seen["moves"]
    assert moves.pop("while") == 1  # 8 films on each device, four at a time
    assert moves == {"all-reduce": 1, "all-gather": 0, "all-to-all": 0, "collective-permute": 0}
    assert "data" in seen["specs"][1] and "data" not in seen["specs"][0]
    assert max(seen["differences"]) < 1e-6
