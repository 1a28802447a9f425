"""Loads configs from files, and applies the overrides of a command line."""

import difflib
import runpy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, FrozenConfigDict, config_flags

from configs import base
from pneumojax.config.flat import flatten
from pneumojax.errors import UserError

_START_FROM = "start from a copy of configs/base.py, or from base.get_config()"
# Every network has these fields; all others are arguments of its own class.
_OF_EVERY_NETWORK = frozenset({"model.network", "model.dtype"})


def load_file(path: str) -> ConfigDict:
    """Returns the result of `get_config()` in a Python file; text after a colon is its argument.

    Raises:
        UserError: the file cannot be run, or returns a config with other fields than
            `configs/base.py`.
    """
    file, *argument = path.split(":", 1)
    try:
        get_config = runpy.run_path(file).get("get_config")
        config = get_config(*argument) if callable(get_config) else None
    # A config file is a program and may raise anything.
    except (Exception, SystemExit) as error:
        raise UserError(f"--config={path}: it cannot be loaded: {_last_line(error)}") from error
    if not callable(get_config):
        raise UserError(f"--config={path}: it has no function get_config()")
    if not isinstance(config, ConfigDict) or isinstance(config, FrozenConfigDict):
        kind = type(config).__name__
        raise UserError(
            f"--config={path}: get_config() returned {kind}, not a ConfigDict of ml_collections"
        )
    if wrong := _wrong_fields(config):
        raise UserError(f"--config={path}: {wrong}")
    return config.lock()


def override(config: ConfigDict, arguments: Sequence[str]) -> None:
    """Changes fields of a config in place.

    An argument is "--config.<field>=<value>", or "--config.<field>" or "--noconfig.<field>" for a
    field that is True or False.
    """
    for argument in arguments:
        if wrong := _unknown_field(argument, config):
            raise UserError(wrong)
    values = flags.FlagValues()
    line = ["", *arguments]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=line)
        values(line)
    # Values are parsed as Python literals, and odd text may raise any exception.
    except (Exception, SystemExit) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{_named(first, arguments)}") from error


def nearest_fields(name: str, fields: Collection[str]) -> list[str]:
    """Up to two fields that a mistyped name probably means; the best comes first."""
    leaf = name.rsplit(".", 1)[-1]
    same_leaf = [field for field in fields if field.rsplit(".", 1)[-1] == leaf]
    near = same_leaf or difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
    near = near or [
        field for field in fields if difflib.get_close_matches(leaf, [field.rsplit(".", 1)[-1]])
    ]
    return near[:2]


def _unknown_field(argument: str, config: Mapping[str, Any]) -> str | None:
    """A line about an override whose field the config lacks; None if the config has it."""
    field = argument.lstrip("-").removeprefix("no").removeprefix("config.").split("=")[0]
    fields = flatten(config)
    groups = {name.rsplit(".", i)[0] for name in fields for i in range(1, name.count(".") + 1)}
    if field in fields or field in groups:
        return None
    near = " or ".join(f"--config.{name}" for name in nearest_fields(field, fields))
    meant = f"Did you mean {near}?" if near else "configs/base.py lists every field."
    return f"there is no field --config.{field}. {meant}"


def _named(reason: str, arguments: Sequence[str]) -> str:
    """Adds the argument to an error message that does not name it, such as a syntax error's."""
    if len(arguments) == 1 and "config." not in reason:
        return f"{arguments[0][:80]}: {reason}"
    return reason


def _wrong_fields(config: ConfigDict) -> str | None:
    """A line about the first field that is absent or unknown; None if there is none."""
    wanted, found = flatten(base.get_config()), flatten(config)
    for group in sorted({name.split(".")[0] for name in wanted if "." in name}):
        if group not in config:
            return f"config.{group} is absent; {_START_FROM}"
        if not isinstance(config[group], ConfigDict):
            return f"config.{group} is {repr(config[group])[:60]}, not a group of fields"
    if found.get("model.network") != wanted["model.network"]:
        own = {name for name in wanted.keys() | found.keys() if name.startswith("model.")}
        own -= _OF_EVERY_NETWORK
        wanted = {name: value for name, value in wanted.items() if name not in own}
        found = {name: value for name, value in found.items() if name not in own}
    if absent := sorted(wanted.keys() - found.keys()):
        return f"config.{absent[0]} is absent; {_START_FROM}"
    if unknown := sorted(found.keys() - wanted.keys()):
        near = difflib.get_close_matches(unknown[0], wanted, n=1)
        meant = f"config.{near[0]} is the nearest" if near else "configs/base.py lists every field"
        return f"there is no field config.{unknown[0]}; {meant}"
    return None


def _last_line(error: BaseException) -> str:
    """The last line of an error's text, with the type of the error where that adds something."""
    if isinstance(error, SystemExit):
        return f"it ends the program with sys.exit({error.code!r})"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename!r}"
    kind = type(error).__name__
    text = (str(error).strip().splitlines() or [kind])[-1].strip()
    return text if text == kind else f"{kind}: {text}"
