"""The state of training: everything that a step changes, as one tree of arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from ml_collections import ConfigDict

from pneumojax.inference.network import Network
from pneumojax.tree_paths import by_path, nested

DECAY = 0.95  # the share of the running statistics that a step keeps


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EpochSums:
    """Sums over the films that the current epoch has visited; float32 scalars."""

    correct: Array  # films that the predicting head calls correctly at 0.5
    films: Array  # without padding
    loss: Array  # their cross-entropy by the predicting head


# The fields are flattened in alphabetical order, as the dict of earlier versions was. Another order
# of arguments would give XLA another program, whose results may be rounded differently.
@partial(
    jax.tree_util.register_dataclass,
    data_fields=("average", "epoch_sums", "optimizer", "params", "statistics", "step"),
    meta_fields=(),
)
@dataclass(frozen=True)
class TrainState:
    """A pytree of everything that a step changes, which is what an exact resume needs."""

    step: Array  # int32 (), the number of steps taken
    params: dict[str, Any]
    optimizer: optax.OptState
    epoch_sums: EpochSums
    statistics: dict[str, Any]  # of batch norm; {} in a network without it
    average: dict[str, Any] | None  # of `network.join(params, statistics)`, if the config asks

    def to_items(self) -> dict[str, Any]:
        """The items of a checkpoint; optional parts that are absent have no key."""
        training = {
            "step": self.step,
            "optimizer": self.optimizer,
            "epoch_sums": dict(vars(self.epoch_sums)),
        }
        if self.statistics:
            training["statistics"] = self.statistics
        if self.average is not None:
            training["average"] = self.average
        return {"params": self.params, "training": training}

    @classmethod
    def from_items(cls, items: Mapping[str, Any]) -> "TrainState":
        """The inverse of `to_items`."""
        training = items["training"]
        return cls(
            step=training["step"],
            params=items["params"],
            optimizer=training["optimizer"],
            epoch_sums=EpochSums(**training["epoch_sums"]),
            statistics=training.get("statistics", {}),
            average=training.get("average"),
        )


def evaluation_params(network: Network, state: TrainState) -> dict:
    """The whole tree that a state is evaluated with: the averaged weights where there are any."""
    return state.average or network.join(state.params, state.statistics)


def abstract_state(
    config: ConfigDict, network: Network, optimizer: optax.GradientTransformation
) -> TrainState:
    """The shapes of `initial_state`, which is not traced."""
    params, statistics = network.divide(network.abstract_params)
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    return TrainState(
        step=jax.ShapeDtypeStruct((), jnp.int32),  # type: ignore[arg-type]
        params=params,
        optimizer=jax.eval_shape(optimizer.init, params),
        epoch_sums=EpochSums(correct=scalar, films=scalar, loss=scalar),  # type: ignore[arg-type]
        statistics=statistics,
        average=network.abstract_params if config.average.decay else None,
    )


def initial_state(
    config: ConfigDict, optimizer: optax.GradientTransformation, seed: Array | None = None
) -> TrainState:
    """The state before step 0, a function of the seed on one platform and JAX version.

    `seed` is that of `RunNumbers`; None means the config's.
    """
    from flax import nnx  # these two are slow to import, and not needed where the program is stored

    from pneumojax.inference.module import make_module

    # With this many shapes XLA:CPU takes 15 s to compile the default generator, and 3 s for "rbg".
    key = jax.random.key(config.seed if seed is None else seed, impl="rbg")
    module = make_module(config, nnx.Rngs(params=key))
    params = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    average = None
    if config.average.decay:
        # A copy, because the step donates the state, and no array can be donated twice.
        average = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(module)))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimizer=optimizer.init(params),
        epoch_sums=EpochSums(correct=jnp.zeros(()), films=jnp.zeros(()), loss=jnp.zeros(())),
        statistics=nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)),
        average=average,
    )


class Moments(NamedTuple):
    """Means and mean squares of all layers, concatenated; unlike variances they can be averaged."""

    mean: Array
    square: Array


def moments_of(statistics: dict) -> Moments:
    """The moments of a tree that holds each layer's "mean" and "var"; the tree may be empty."""
    mean, var = (
        ravel_pytree(list(_by_path(name, statistics).values()))[0] for name in ("mean", "var")
    )
    return Moments(mean, var + mean**2)


def updated_statistics(statistics: dict, moments: Moments) -> dict:
    """The running statistics after a step whose batch has these moments.

    Layer by layer this would be a thousand small operations, which JAX traces and XLA loads from
    the compilation cache at every start.
    """
    var = jnp.maximum(moments.square - moments.mean**2, 0)
    updated: dict[tuple, Array] = {}
    for name, vector in (("mean", moments.mean), ("var", var)):
        before = _by_path(name, statistics)
        running, divided = ravel_pytree(list(before.values()))
        # Without the barrier XLA would split this into an operation for each layer again.
        running = lax.optimization_barrier(DECAY * running + (1 - DECAY) * vector)
        updated |= dict(zip(before, divided(running), strict=True))
    return nested(updated)


def _by_path(name: str, statistics: dict) -> dict[tuple, Array]:
    flat = by_path(statistics)
    return {path: flat[path] for path in sorted(flat) if path[-1] == name}
