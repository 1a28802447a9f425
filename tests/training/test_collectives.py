"""The number of sums over devices in a training step, which bounds how it scales."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.sharding import Mesh

from pneumojax.inference.network import make_network
from pneumojax.sharding import make_mesh
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.step import make_train_step
from tests.support import equal_steps


def sums_over_devices(program):
    """Counts the arrays that a traced program adds up over devices, in called functions too."""
    found = 0
    for equation in program.eqns:
        if equation.primitive.name.startswith("psum"):
            found += len(equation.invars)
            continue
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=is_program):
            if is_program(inner):
                found += sums_over_devices(getattr(inner, "jaxpr", inner))
    return found


def is_program(value):
    return isinstance(value, Jaxpr | ClosedJaxpr)


@pytest.mark.slow
def test_a_step_sums_each_norms_statistics_twice_and_all_else_once():
    config = equal_steps.small_config("augmented", "float32")
    network, optimizer = make_network(config), make_optimizer(config, 1)
    state = jax.eval_shape(lambda: initial_state(config, optimizer))
    batch = {"image": jax.ShapeDtypeStruct((16, 32, 32, 1), jnp.uint8)} | {
        name: jax.ShapeDtypeStruct((16,), dtype)
        for name, dtype in (("label", jnp.int32), ("mask", jnp.float32), ("film", jnp.int32))
    }
    # The step is only traced, so one device may stand for two.
    several = Mesh(np.repeat(jax.devices()[:1], 2), make_mesh().axis_names)
    step = make_train_step(config, network, optimizer, 3, several)
    sums = sums_over_devices(jax.make_jaxpr(step)(state, batch).jaxpr)
    stem, module, head = 3, 4, 1  # batch norms; those of parallel branches count as one
    once = len(jax.tree.leaves(state.params))
    figures = 3  # the loss, and two sums of the epoch
    moments = 2  # vectors, of the means and of the mean squares of all norms
    assert sums == 2 * (stem + module + head) + once + moments + figures
