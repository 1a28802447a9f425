"""Reads config.json of a run folder, which may be a stranger's or an earlier version's."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax.config.check import first_problem
from pneumojax.config.rules import ANY_OTHER, DRAWN_SETS
from pneumojax.configs import base
from pneumojax.errors import UserError
from pneumojax.fields import read_record

OUR_NETWORKS = "pneumojax.nn."
# Two files of a run folder, named here so that runs are listed without importing JAX.
LOCK = ".lock"  # a process that trains holds a lock on it
WEIGHTS = "model.safetensors"  # the arrays of a published network
# The exceptions of `completed` for values that are not the config of a run.
NOT_A_CONFIG = (KeyError, TypeError, AttributeError, ValueError, RecursionError)


def read_config(workdir: Path) -> ConfigDict:
    """The config that a run was started with."""
    path = workdir / "config.json"
    if not path.exists():
        known = sorted(str(p.parent) for p in workdir.parent.glob("*/config.json"))
        hint = f"; runs beside it: {', '.join(known[:5])}" if known else ""
        raise UserError(f"no run in {str(workdir)!r} (no config.json){hint}", flag="workdir")
    values = read_record(path, ())
    try:
        config = completed(values)
    except NOT_A_CONFIG as error:
        raise UserError(f"{str(path)!r} is not the config of a run") from error
    if wrong := first_problem(config):
        raise UserError(f"{str(path)!r} cannot be used: {wrong}")
    return config


def completed(values: dict[str, Any]) -> ConfigDict:
    """A locked config from JSON values; fields that earlier versions lacked have their defaults."""
    config = base.get_config().to_dict()
    if values["model"].get("network", config["model"]["network"]) != config["model"]["network"]:
        config["model"] = {}  # the defaults are arguments of another network
    for name, value in values.items():
        if isinstance(config.get(name), dict) and not isinstance(value, dict):
            raise TypeError(f"{name} is not a group of fields")
        config[name] = config.get(name, {}) | value if isinstance(value, dict) else value
    if "ignored" not in values.get("data", {}):
        config["data"]["ignored"] = (ANY_OTHER,)  # earlier versions ignored every other class
    return ConfigDict(_with_tuples(config)).lock()


def refuse_foreign_network(config: ConfigDict, workdir: Path, named_by_user: str = "") -> None:
    """Raises UserError if a run folder's config names a class that is not PneumoJAX's.

    Importing that class would run its module, which may lie in the run folder itself.
    `named_by_user` is a class that the command's own config names.
    """
    network = config.model.network
    if not str(network).startswith(OUR_NETWORKS) and network != named_by_user:
        raise UserError(
            f"the config in {str(workdir)!r} names the network {str(network)!r}, which is not one "
            "of PneumoJAX's, and importing it runs its code. If you trust it, pass --any_network "
            "on the command line, or any_network=True in Python",
            flag="workdir",
        )


def is_synthetic(config: ConfigDict) -> bool:
    """Whether the run's films are the embedded drawings."""
    return config.data.root in DRAWN_SETS and not config.data.table


def has_validation(config: ConfigDict) -> bool:
    """Whether a run of this config has validation films."""
    return bool(config.data.val == "folder" or config.data.val_fraction > 0 or config.data.folds)


def _with_tuples(value: Any) -> Any:
    """A nested value with its lists as tuples, which config files and overrides have."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
