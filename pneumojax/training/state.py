"""Network and optimizer as definitions, everything that changes as one tree of arrays."""

import importlib
import inspect
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.inference.test_time_views import averaged, check_views
from pneumojax.training.losses import prediction

# {"step": int32, "params": ..., "optimizer": ..., "epoch_sums": {...}}, plain arrays throughout;
# with batch norm "statistics", the running ones, and with an average of weights "average", of both.
State = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A network apart from its parameters: a static definition, and the parameters' shapes.

    definition: for `nnx.merge`.
    abstract_params: one tree of all that a trained network consists of: what gradients train and,
        with batch norm, running statistics.
    statistics: places of the latter in that tree.
    views: `VIEWS` that evaluation averages the film's logits with.
    freeze_statistics: training normalises by the running statistics too, and leaves them.
    """

    definition: nnx.GraphDef
    abstract_params: dict
    statistics: frozenset[tuple] = frozenset()
    views: tuple[str, ...] = ()
    freeze_statistics: bool = False

    def logits(self, params: dict, images: Array, dropout_keys: Array | None = None) -> dict:
        """Images (batch, h, w, 1) in [0, 1] -> {head: logits (batch,)}.

        `dropout_keys` (batch,), one for each film; without, nothing is dropped.
        """
        return self.module(params)(images, dropout_keys)

    def predicted(self, params: dict, images: Array) -> Array:
        """Logits (batch,) that evaluation goes by: the predicting head's, averaged over views."""

        def logits_of(images: Array) -> Array:
            return prediction(self.logits(params, images))

        return averaged(logits_of(images), logits_of, images, self.views)

    def training_logits(
        self, params: dict, statistics: dict, images: Array, dropout_keys: Array, axis: str | None
    ) -> tuple[dict, dict]:
        """As `logits` in training; also means and variances of this batch where batch norm is.

        Args:
            params, statistics: as `divide` gives them.
            axis: name of the devices' axis, over which those means and variances are taken; None
                where each device takes its own.
        """
        module = self.module(self.join(params, statistics))
        if not self.statistics or self.freeze_statistics:
            return module(images, dropout_keys), statistics
        module.set_attributes(nnx.BatchNorm, use_running_average=False, axis_name=axis)
        logits = module(images, dropout_keys)
        return logits, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def module(self, params: dict) -> Any:
        """The module with these parameters, for what needs more than its logits."""
        return nnx.merge(self.definition, params)

    def divide(self, params: dict) -> tuple[dict, dict]:
        """One tree -> what gradients train, and running statistics, {} without batch norm."""
        flat = flatten_dict(params)
        statistics = {path: flat.pop(path) for path in self.statistics}
        return unflatten_dict(flat), unflatten_dict(statistics)

    def join(self, params: dict, statistics: dict) -> dict:
        """The one tree of which `divide` made two."""
        return unflatten_dict(flatten_dict(params) | flatten_dict(statistics))

    def evaluated(self, state: State) -> dict:
        """The one tree that a state is evaluated with: the average where there is one."""
        return state.get("average") or self.join(state["params"], state.get("statistics", {}))


def make_module(config: ConfigDict, rngs: nnx.Rngs) -> nnx.Module:
    """The network that `config.model` describes, with its initial values.

    Its class is called with `image_size`, `normalise`, `rngs` and every other field of
    `config.model` by name.

    Raises:
        UserError: there is no such class, it takes no such argument, or does not accept a value.
    """
    if config.model.dtype not in ("float32", "bfloat16", "float64"):
        raise UserError(
            f"config.model.dtype is {config.model.dtype!r}: use 'float32' or 'bfloat16'"
        )
    build = _network_class(config.model.network)
    arguments = {name: value for name, value in config.model.items() if name != "network"}
    taken = _arguments_of(build)
    for name in arguments:
        if name not in taken:
            raise UserError(
                f"config.model.{name}: {config.model.network} takes no such argument; it takes "
                + ", ".join(sorted(taken - {"rngs", "image_size", "normalise"}))
            )
    arguments["dtype"] = jnp.dtype(config.model.dtype)
    return build(
        image_size=config.data.image_size, normalise=config.data.normalise, rngs=rngs, **arguments
    )


def _arguments_of(network: type) -> set[str]:
    """Names that a class is called with; those of its base too where it passes `**others` on."""
    names: set[str] = set()
    for kind in network.__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(vars(kind)["__init__"]).parameters
        names |= parameters.keys()
        others = [name for name, p in parameters.items() if p.kind is p.VAR_KEYWORD]
        names -= {"self", *others}
        if not others:
            break
    return names


def _network_class(name: str) -> Any:
    """The class behind "module:Class"."""
    module, _, class_name = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), class_name)
        if not isinstance(found, type):
            raise ValueError(f"{class_name!r} is not a class")
        return found
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(
            f"config.model.network is {name!r}: {error}. It is 'module:Class', such as "
            "'pneumojax.nn.inception:Inception', of a module that Python can import"
        ) from error


def make_network(config: ConfigDict) -> Network:
    """Definitions and shapes only: nothing is computed."""
    check_views(config.test_time.views)
    module = nnx.eval_shape(lambda: make_module(config, nnx.Rngs(params=0)))
    definition, params = nnx.split(module)
    statistics = flatten_dict(nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)))
    return Network(
        definition,
        nnx.to_pure_dict(params),
        frozenset(statistics),
        tuple(config.test_time.views),
        config.finetune.freeze_statistics,
    )


def make_mesh() -> Mesh:
    """All devices on one axis, `data`: every array of a batch is split over it."""
    # On one CPU a step is computed by the thread that calls it, whose heap can keep its memory
    # (`heap.set_aside`); that of XLA's threads cannot. Read when JAX first looks for devices.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
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
