"""`plain_operations` replaces the operations for CPUs, whatever was traced before."""

import jax
import jax.numpy as jnp

from pneumojax.nn import ops, pools


def traced():
    x, kernel = jnp.ones((2, 8, 8, 32)), jnp.ones((3, 3, 32, 32))

    def layer(x, kernel):
        x = ops.convolution(x, kernel)
        return pools.average_pool(pools.max_pool(x, (3, 3), (2, 2)), (3, 3), (1, 1))

    return str(jax.make_jaxpr(layer)(x, kernel))


def test_a_trace_asks_for_the_platform_only_outside_of_plain_operations():
    before = traced()
    with ops.plain_operations(True):
        inside = traced()
    assert "platform_index" in before
    assert "platform_index" not in inside
    assert traced() == before


def test_plain_operations_take_a_batch_of_unknown_size():
    (batch,) = jax.export.symbolic_shape("batch")
    x = jax.ShapeDtypeStruct((batch, 8, 8, 32), jnp.float32)
    with ops.plain_operations(True):
        y = jax.eval_shape(lambda x: ops.convolution(x, jnp.ones((3, 3, 32, 32))), x)
    assert y.shape == (batch, 8, 8, 32)
