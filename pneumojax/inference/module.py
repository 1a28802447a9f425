"""Makes the module that a config describes, and its definition apart from its parameters."""

import importlib
import inspect
from typing import Any

import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.inference.facts import Built, Facts
from pneumojax.nn.layers import without_initial_values
from pneumojax.tree_paths import by_path


def build(config: ConfigDict) -> Built:
    """The definition of the network that `config` describes, and its facts; nothing is computed."""
    with without_initial_values():
        module = nnx.eval_shape(lambda: make_module(config, nnx.Rngs(params=0)))
    # Flax's own batch norm normalises by the batch unless it is told to use what it has recorded.
    module.set_attributes(nnx.BatchNorm, use_running_average=True, raise_if_not_found=False)
    _refuse_other_state(module)
    definition, params = nnx.split(module)
    statistics = by_path(nnx.to_pure_dict(nnx.state(module, nnx.BatchStat)))
    facts = Facts(nnx.to_pure_dict(params), frozenset(statistics), _divides(module))
    return Built(definition, facts)


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
                + ". All fields of config.model are passed to the network, so a network of your "
                "own needs a config whose config.model holds only its arguments (docs/extending.md)"
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
            f"config.model.network: {type(module).__name__} holds a {type(variable).__name__} in "
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


def _divides(module: nnx.Module) -> bool:
    """Whether methods, and not mere layers, are called `features` and `logits`."""
    return all(inspect.ismethod(getattr(module, name, None)) for name in ("features", "logits"))
