"""A network as a static definition beside a tree of parameters, built from a config."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array
from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.nn.layers import without_initial_values


@dataclass(frozen=True)
class Network:
    """A network apart from its parameters."""

    definition: nnx.GraphDef
    abstract_params: dict  # shapes of the trained parameters and of batch norm's statistics
    statistics: frozenset[tuple] = frozenset()  # paths of the running statistics in that tree
    views: tuple[str, ...] = ()  # test-time views whose logits are averaged with the film's own
    freeze_statistics: bool = False  # training normalises by the statistics and leaves them too
    explains: bool = False  # the module has `features` and `logits`, which Grad-CAM needs
    precision: str = "default"  # `config.precision`

    def logits(self, params: dict, images: Array) -> dict:
        """Images (batch, h, w, 1) in [0, 1] -> {head: logits (batch,)}, without dropout."""
        return self._heads(self.module(params), images, None)

    def evaluation_logits(self, params: dict, images: Array) -> Array:
        """The predicting head's logits (batch,), averaged over the test-time views."""

        def logits_of(images: Array) -> Array:
            return predicting_logits(self.logits(params, images))

        return averaged(logits_of(images), logits_of, images, self.views)

    def training_logits(
        self, params: dict, statistics: dict, images: Array, dropout_keys: Array, axis: str | None
    ) -> tuple[dict, dict]:
        """As `logits`, with a dropout key for each film; also this batch's means and variances.

        Batch norm takes them over the mesh axis `axis`, or on each device alone if it is None.
        """
        module = self.module(self.join(params, statistics))
        if not self.statistics or self.freeze_statistics:
            return self._heads(module, images, dropout_keys), statistics
        # Without momentum Flax's own batch norm stores this batch's statistics, as ours does: the
        # training step averages them.
        module.set_attributes(
            nnx.BatchNorm,
            use_running_average=False,
            axis_name=axis,
            momentum=0.0,
            raise_if_not_found=False,
        )
        logits = self._heads(module, images, dropout_keys)
        return logits, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def _heads(self, module: Any, images: Array, dropout_keys: Array | None) -> dict:
        with self.in_precision():
            return _checked(module, images, dropout_keys)

    def in_precision(self) -> AbstractContextManager[Any]:
        """A block in which JAX traces convolutions and products with the config's precision.

        With "default" the environment variable JAX_DEFAULT_MATMUL_PRECISION stays in force.
        """
        if self.precision == "default":
            return nullcontext()
        return jax.default_matmul_precision(self.precision)

    def module(self, params: dict) -> Any:
        """The module with these parameters, for callers that need more than its logits."""
        return nnx.merge(self.definition, params)

    def divide(self, params: dict) -> tuple[dict, dict]:
        """The whole tree -> the trained parameters, and the running statistics ({} if none)."""
        flat = flatten_dict(params)
        statistics = {path: flat.pop(path) for path in self.statistics}
        return unflatten_dict(flat), unflatten_dict(statistics)

    def join(self, params: dict, statistics: dict) -> dict:
        """The inverse of `divide`."""
        return unflatten_dict(flatten_dict(params) | flatten_dict(statistics))


def predicting_logits(heads: Mapping[str, Array]) -> Array:
    """The logits of the head that predicts: the main one, or else the auxiliary one."""
    return heads["main"] if "main" in heads else heads["auxiliary"]


def _checked(module: Any, images: Array, dropout_keys: Array | None) -> dict:
    """A module's logits by head, after a check of their names and shapes while it is traced.

    Logits of shape (batch, 1) would broadcast against the labels and train something else.
    """
    heads = module(images, dropout_keys)
    films = images.shape[0]  # len() would refuse the unknown batch size of an export
    wanted = f"{{'main': logits}}, where the logits of {films} films have shape ({films},)"
    if not isinstance(heads, Mapping) or not {"main", "auxiliary"} & heads.keys():
        found = f"keys {sorted(heads)}" if isinstance(heads, Mapping) else type(heads).__name__
        raise UserError(f"config.model.network: {_name(module)} returned {found}; use {wanted}")
    for name, logits in heads.items():
        if logits.shape != (films,):
            raise UserError(
                f"config.model.network: {_name(module)} returned {name!r} of shape "
                f"{logits.shape}; use {wanted}"
            )
    return dict(heads)


def _divides(module: nnx.Module) -> bool:
    """Whether methods, and not mere layers, are called `features` and `logits`."""
    return all(inspect.ismethod(getattr(module, name, None)) for name in ("features", "logits"))


def _name(module: Any) -> str:
    return type(module).__name__


def make_network(config: ConfigDict) -> Network:
    """The network that `config` describes; only the shapes of its parameters are computed."""
    with without_initial_values():
        module = nnx.eval_shape(lambda: make_module(config, nnx.Rngs(params=0)))
    # Flax's own batch norm normalises by the batch unless it is told to use what it has recorded.
    module.set_attributes(nnx.BatchNorm, use_running_average=True, raise_if_not_found=False)
    _refuse_other_state(module)
    definition, params = nnx.split(module)
    statistics = flatten_dict(nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)))
    return Network(
        definition,
        nnx.to_pure_dict(params),
        frozenset(statistics),
        tuple(config.test_time.views),
        config.finetune.freeze_statistics,
        _divides(module),
        config.precision,
    )


def make_module(config: ConfigDict, rngs: nnx.Rngs) -> nnx.Module:
    """The module that `config.model` describes, with its initial parameters.

    Its class is called with `rngs`, with every field of `config.model` except `network` and, if it
    takes them, with `dtype`, `image_size` and `normalise`, all by name.
    """
    build = _network_class(config.model.network)
    arguments = {name: value for name, value in config.model.items() if name != "network"}
    if config.model.dtype == "float32":  # every network computes in it
        del arguments["dtype"]
    taken = _arguments_of(build)
    for name in arguments:
        if name not in taken:
            raise UserError(
                f"config.model.{name}: {config.model.network} takes no such argument; it takes "
                + ", ".join(sorted(taken - {"rngs", "image_size", "normalise"}))
            )
    if "normalise" not in taken and config.data.normalise != "unit":
        raise UserError(
            f"config.data.normalise is {config.data.normalise!r}: {config.model.network} takes no "
            "argument normalise, so films reach it in [0, 1]; use 'unit'"
        )
    common = {
        "dtype": jnp.dtype(config.model.dtype),
        "image_size": config.data.image_size,
        "normalise": config.data.normalise,
    }
    arguments |= {name: value for name, value in common.items() if name in taken}
    try:
        return build(rngs=rngs, **arguments)
    except ValueError as error:
        name = str(error).partition(" ")[0]
        if name not in arguments:
            raise
        section = "data" if name in ("image_size", "normalise") else "model"
        raise UserError(f"config.{section}.{error}") from error


def _refuse_other_state(module: nnx.Module) -> None:
    """Raises UserError for variables that are neither trained nor statistics of batch norm."""
    others = nnx.state(module, nnx.Not(nnx.Any(nnx.Param, nnx.BatchStat)))
    for path, variable in nnx.to_flat_state(others):
        raise UserError(
            f"config.model.network: {_name(module)} holds a {type(variable).__name__} in "
            f"{'.'.join(map(str, path))!r}, and only nnx.Param and nnx.BatchStat are kept between "
            "steps; for dropout use the keys that the network is called with, as "
            "pneumojax.nn.layers.dropout does"
        )


def _network_class(name: str) -> Any:
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


def _arguments_of(network: type) -> set[str]:
    """Names of the constructor's arguments; with `**others`, of the base class's too."""
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


_ZOOM = 0.9  # fraction of each side that the closer view shows


def _flip(images: Array) -> Array:
    """Mirrors films. The heart changes sides, so the network must be trained on mirrored films."""
    return images[:, :, ::-1]


def _zoom(images: Array) -> Array:
    batch, height, width, channels = images.shape
    scale = jnp.full(2, 1 / _ZOOM)
    shift = jnp.array([height, width]) * (1 - 1 / _ZOOM) / 2
    return jax.image.scale_and_translate(
        images, (batch, height, width, channels), (1, 2), scale, shift, "linear", antialias=False
    )


VIEWS: dict[str, Callable[[Array], Array]] = {"flip": _flip, "zoom": _zoom}


def averaged(
    logits: Array, logits_of: Callable[[Array], Array], images: Array, names: Sequence[str]
) -> Array:
    """Averages the `logits` (batch,) of images (batch, h, w, 1) with those of the named views."""
    for name in names:
        logits += logits_of(VIEWS[name](images))
    return logits / (1 + len(names))
