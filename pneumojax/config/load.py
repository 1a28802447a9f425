"""Loads and resolves configs, applies the overrides of a command line, and names run folders."""

import difflib
import hashlib
import json
import runpy
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, FrozenConfigDict, config_flags

from pneumojax.config.check import wrong_value
from pneumojax.config.flat import flatten
from pneumojax.config.rules import NAMED_SETS
from pneumojax.configs import base
from pneumojax.errors import UserError
from pneumojax.shipped import config_file

_START_FROM = "start from a copy of configs/base.py, or from base.get_config()"
# Every network has these fields; all others are arguments of its own class.
_NAMES = (
    *("data.negative", "data.positive", "data.ignored", "data.dicom_metadata"),
    *("distill.teachers", "log.trackers"),
)
# Names of runs had a digest of all fields before there were these.
_NEWER_FIELDS = (
    *("data.table", "data.columns", "data.negative", "data.positive", "data.ignored"),
    *("data.patient_pattern", "data.resident", "data.dicom_metadata", "data.stratify"),
    *("data.fold_by", "train.", "distill.", "precision", "log.tracker"),
)
_NAME_NO_RUN = ("data.ignored", "log.tracker")
_OF_EVERY_NETWORK = frozenset({"model.network", "model.dtype"})


def load_file(path: str) -> ConfigDict:
    """Returns the result of `get_config()` in a Python file; text after a colon is its argument.

    Instead of a file, a shipped config can be named, such as "base". The config must have the
    fields of `configs/base.py`.
    """
    name, *argument = path.split(":", 1)
    is_bare = Path(name).name == name and not Path(name).suffix
    file = config_file(name) if is_bare and not Path(name).is_file() else Path(name)
    try:
        get_config = runpy.run_path(str(file)).get("get_config")
        config = get_config(*argument) if callable(get_config) else None
    # A config file is a program and may raise anything.
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{path}: it cannot be loaded: {_last_line(error)}", flag="config"
        ) from error
    if not callable(get_config):
        raise UserError(f"{path}: it has no function get_config()", flag="config")
    if not isinstance(config, ConfigDict) or isinstance(config, FrozenConfigDict):
        kind = type(config).__name__
        raise UserError(
            f"{path}: get_config() returned {kind}, not a ConfigDict of ml_collections",
            flag="config",
        )
    if wrong := _wrong_fields(config):
        raise UserError(f"{path}: {wrong}", flag="config")
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
    line = ["", *map(_with_names_as_tuple, arguments)]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=line)
        values(line)
    # Values are parsed as Python literals, and odd text may raise any exception.
    except (Exception, SystemExit) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if len(arguments) == 1 and "config." not in first:  # such as a syntax error
            first = f"{arguments[0][:80]}: {first}"
        raise UserError(first) from error


def resolve(config: ConfigDict) -> ConfigDict:
    """A copy with absolute paths of the films and the teachers: the same run from any folder."""
    config = config.copy_and_resolve_references()
    if config.data.root not in NAMED_SETS:
        config.data.root = _absolute("data.root", config.data.root)
    if config.data.table:
        config.data.table = _absolute("data.table", config.data.table)
    folders = config.distill.teachers
    config.distill.teachers = tuple(_absolute("distill.teachers", path) for path in folders)
    return config


def _absolute(field: str, path: str) -> str:
    try:
        return str(Path(path).expanduser().resolve())
    except (ValueError, RuntimeError, OSError) as error:
        raise UserError(wrong_value(field, path, f"it is not a path ({error})")) from error


def run_name(config: ConfigDict) -> str:
    """`<name>-<8 hex digits>` of a resolved config, for the default run folder.

    The digits are a digest of the fields that differ from `configs/base.py`. A new field with its
    default therefore leaves the names of earlier runs as they are. A field that is renamed must
    keep its old name here. `data.ignored` changes no film of a run, so a run that it stopped goes
    on under its name. Trackers change no number, so they do not change the name either.
    """
    return f"{config.name}-{_digest(_changed(config))}"


def earlier_run_name(config: ConfigDict) -> str:
    """The name of the default run folder in earlier versions, with a digest of all their fields."""
    changed = _changed(config)
    fields = {
        name: value
        for name, value in flatten(config).items()
        if name in changed or not name.startswith(_NEWER_FIELDS)
    }
    return f"{config.name}-{_digest(fields)}"


def _changed(config: ConfigDict) -> dict[str, Any]:
    """The fields that differ from `configs/base.py` and count towards the name of a run folder."""
    defaults = flatten(base.get_config())
    return {
        name: value
        for name, value in flatten(config).items()
        if not name.startswith(_NAME_NO_RUN) and (name not in defaults or defaults[name] != value)
    }


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]


def nearest_fields(name: str, fields: Collection[str]) -> list[str]:
    """Up to two fields that a mistyped name probably means; the best comes first."""
    leaf = name.rsplit(".", 1)[-1]
    same_leaf = [field for field in fields if field.rsplit(".", 1)[-1] == leaf]
    near = same_leaf or difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
    near = near or [
        field for field in fields if difflib.get_close_matches(leaf, [field.rsplit(".", 1)[-1]])
    ]
    return near[:2]


def _with_names_as_tuple(argument: str) -> str:
    """An override of a field of names, in which `a,b` means `('a','b')` and 0 the name "0"."""
    field, given, value = argument.partition("=")
    if field.lstrip("-").removeprefix("config.") not in _NAMES or not given:
        return argument
    if value.startswith(("(", "[", "'", '"')):
        return argument
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    return f"{field}={names!r}"


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
        if absent[0] == "model.dtype":
            return "config.model.dtype is absent; every network's config has it, such as 'float32'"
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
