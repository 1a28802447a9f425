"""Network and optimizer as definitions, everything that changes as one tree of arrays."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.nn.inception import Inception

# {"step": int32, "params": ..., "optimizer": ..., "epoch_sums": {...}}, plain arrays throughout.
State = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A network apart from its parameters: a static definition, and the parameters' shapes."""

    definition: nnx.GraphDef
    abstract_params: dict

    def logits(self, params: dict, images: Array, dropout_keys: Array | None = None) -> dict:
        """Images (batch, h, w, 1) in [0, 1] -> {head: logits (batch,)}.

        `dropout_keys` (batch,) in training, one for each film; without, nothing is dropped.
        """
        return self.module(params)(images, dropout_keys)

    def module(self, params: dict) -> Inception:
        """The module with these parameters, for what needs more than its logits."""
        return nnx.merge(self.definition, params)


def make_module(config: ConfigDict, rngs: nnx.Rngs) -> nnx.Module:
    """The network that a config describes, with its initial values."""
    if config.model.dtype not in ("float32", "bfloat16", "float64"):
        raise UserError(
            f"config.model.dtype is {config.model.dtype!r}: use 'float32' or 'bfloat16'"
        )
    return Inception(
        image_size=config.data.image_size,
        channels=config.model.channels,
        stem=config.model.stem,
        modules=config.model.modules,
        heads=config.model.heads,
        dropout=config.model.dropout,
        dtype=jnp.dtype(config.model.dtype),
        rngs=rngs,
    )


def make_network(config: ConfigDict) -> Network:
    """Definitions and shapes only: nothing is computed."""
    module = nnx.eval_shape(lambda: make_module(config, nnx.Rngs(params=0)))
    definition, params = nnx.split(module, nnx.Param)
    return Network(definition, nnx.to_pure_dict(params))


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) with epsilon after the bias correction.

    Keras adds its epsilon before the correction: in Optax's terms epsilon / sqrt(1 - b2^t), 32
    times larger at the first step and the same later on. It matters where gradients are near it.
    """
    return optax.adam(
        config.optimizer.learning_rate,
        b1=config.optimizer.b1,
        b2=config.optimizer.b2,
        eps=config.optimizer.epsilon,
    )


def make_mesh() -> Mesh:
    """All devices on one axis, `data`: every array of a batch is split over it."""
    return Mesh(np.array(jax.devices()), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def placed(abstract: Any, mesh: Mesh) -> Any:
    """A tree of shapes with the place that checkpoints are to restore them to."""
    everywhere = replicated(mesh)
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), abstract
    )


def initial_state(config: ConfigDict, optimizer: optax.GradientTransformation) -> State:
    """The state before step 0, a function of `config.seed` (on one platform and JAX version)."""
    # For so many shapes XLA:CPU compiles the default generator for 15 s, this one for 3.
    key = jax.random.key(config.seed, impl="rbg")
    module = make_module(config, nnx.Rngs(params=key))
    params = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    return {
        "step": jnp.zeros((), jnp.int32),
        "params": params,
        "optimizer": optimizer.init(params),
        "epoch_sums": {name: jnp.zeros(()) for name in ("loss", "correct", "films")},
    }
