"""What a config is called, how two differ, and what a mistyped override probably meant."""

import difflib
import hashlib
import json
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict

from configs import base
from pneumojax.errors import UserError

LONGEST_NAME = 100
NAMED_SETS = ("synthetic", "pneumonia_mnist")


def resolve(config: ConfigDict) -> ConfigDict:
    """A copy whose `data.root` is absolute, so that a run means the same from any folder.

    Raises:
        UserError: the name is none for a folder, the root cannot be one, or as `flatten`.
    """
    config = config.copy_and_resolve_references()
    name = config.name
    if not name or name != Path(name).name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(
            f"config.name is {name[: LONGEST_NAME + 1]!r}: it begins a folder's name, so at most "
            f"{LONGEST_NAME} characters, without a slash"
        )
    flatten(config)
    if config.data.root not in NAMED_SETS:
        try:
            config.data.root = str(Path(config.data.root).expanduser().resolve())
        except (ValueError, RuntimeError, OSError) as error:
            raise UserError(
                f"config.data.root is {config.data.root!r}, which is no path: {error}"
            ) from error
    return config


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mapping -> {"data.root": value, ...}, tuples as lists, as JSON would return them.

    Raises:
        UserError: a value that JSON cannot hold.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            try:
                flat[prefix + key] = json.loads(json.dumps(value))
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"config.{prefix}{key}: numbers, text, True, False and tuples of them alone "
                    f"can be kept with a run ({error})"
                ) from error
    return flat


def run_name(config: ConfigDict) -> str:
    """`<name>-<8 hex digits of the resolved config>`: other data or another seed, another run."""
    text = json.dumps(flatten(config), sort_keys=True)
    return f"{config.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """One `field: theirs -> ours` for each field in which two configs differ."""
    a, b = flatten(theirs), flatten(ours)
    return [
        f"{key}: {a.get(key, 'absent')!r} -> {b.get(key, 'absent')!r}"
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key) or (key in a) != (key in b)
    ]


def unknown_field(arguments: Iterable[str], config: ConfigDict) -> str | None:
    """A line about the first `--config.<field>` that `config` lacks, with the nearest that it has.

    Returns None where every field exists.
    """
    fields = flatten(config)
    groups = {key.rsplit(".", i)[0] for key in fields for i in range(1, key.count(".") + 1)}
    for argument in arguments:
        if not argument.startswith(("--config.", "-config.")):
            continue
        field = argument.lstrip("-").removeprefix("config.").split("=")[0]
        if field in fields or field in groups:
            continue
        leaf = field.rsplit(".", 1)[-1]
        same_leaf = [key for key in fields if key.rsplit(".", 1)[-1] == leaf]
        near = same_leaf or difflib.get_close_matches(field, fields, n=1, cutoff=0.5)
        near = near or [
            key for key in fields if difflib.get_close_matches(leaf, [key.rsplit(".", 1)[-1]])
        ]
        hint = " or ".join(f"--config.{key}" for key in near[:2])
        meant = f"Did you mean {hint}?" if hint else "configs/base.py lists every field."
        return f"there is no field --config.{field}. {meant}"
    return None


def misfit(config: ConfigDict) -> str | None:
    """The first field that `configs/base.py` has and `config` lacks, or the reverse, in one line.

    The arguments of a network other than that of `configs/base.py` are its own and not looked at.

    Raises:
        UserError: as `flatten`.
    """
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


_START_FROM = "start from a copy of configs/base.py, or from base.get_config()"
# These name the class of the network and the type that it computes in.
_OF_EVERY_NETWORK = frozenset({"model.network", "model.dtype"})


def explain(argv: list[str]) -> str | None:
    """One line on why the config flags of a command line could not be parsed.

    The config file is loaded once more. Returns None where neither the file nor the name of a
    field is wrong.
    """
    path = path_in(argv)
    file, *argument = path.split(":", 1)  # what follows a colon is given to get_config
    try:
        module = runpy.run_path(file)
        if not callable(module.get("get_config")):
            return f"--config={path}: it has no function get_config()"
        config = module["get_config"](*argument)
    except (Exception, SystemExit) as failure:  # a config file is a program, and may end in any way
        return f"--config={path}: cannot be loaded: {_named(failure)}"
    return wrong_config(path, config) or unknown_field(argv, config)


def path_in(argv: Iterable[str]) -> str:
    """The value of `--config=` on a command line, the last where it is given several times."""
    return [a.split("=", 1)[1] for a in argv if a.startswith("--config=")][-1]


def wrong_config(path: str, config: Any) -> str | None:
    """One line where what `get_config` of a file returned is no config that can be used.

    Raises:
        UserError: as `flatten`.
    """
    if not isinstance(config, ConfigDict) or isinstance(config, FrozenConfigDict):
        kind = type(config).__name__
        return f"--config={path}: get_config() returned {kind}, not a ConfigDict of ml_collections"
    wrong = misfit(config)
    return wrong and f"--config={path}: {wrong}"


def _named(error: BaseException) -> str:
    """The last line of an error, after its kind where the text alone says too little."""
    text = _lines(error)[-1].strip()
    if isinstance(error, SystemExit):
        return f"it ends the program with sys.exit({error.code!r})"
    if isinstance(error, OSError):
        return text
    return text if text == type(error).__name__ else f"{type(error).__name__}: {text}"


def _lines(error: BaseException) -> list[str]:
    return str(error).strip().splitlines() or [type(error).__name__]
