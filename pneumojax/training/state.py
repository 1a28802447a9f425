"""The state of training: everything that changes, as one tree of arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from ml_collections import ConfigDict

from pneumojax.inference.network import Network, make_module

# {"step": int32, "params": ..., "optimizer": ..., "epoch_sums": {...}}, plain arrays throughout;
# with batch norm "statistics", the running ones, and with an average of weights "average", of both.
State = dict[str, Any]


def evaluation_params(network: Network, state: State) -> dict:
    """The whole tree that a state is evaluated with: the averaged weights where there are any."""
    return state.get("average") or network.join(state["params"], state.get("statistics", {}))


def initial_state(config: ConfigDict, optimizer: optax.GradientTransformation) -> State:
    """The state before step 0, a function of `config.seed` (on one platform and JAX version)."""
    # For so many shapes XLA:CPU compiles the default generator for 15 s, this one for 3.
    key = jax.random.key(config.seed, impl="rbg")
    module = make_module(config, nnx.Rngs(params=key))
    params = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    statistics = nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))
    state: State = {
        "step": jnp.zeros((), jnp.int32),
        "params": params,
        "optimizer": optimizer.init(params),
        "epoch_sums": {name: jnp.zeros(()) for name in ("loss", "correct", "films")},
    }
    if statistics:
        state["statistics"] = statistics
    if config.average.decay:
        # Copies: the step is given the state's arrays to overwrite, each of them once.
        state["average"] = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(module)))
    return state
