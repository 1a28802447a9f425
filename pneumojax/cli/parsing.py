"""Parses a command line into a `Command`: a verb, its options and the overrides of a config."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from pneumojax.cli.flags import FLAGS, Options, parse_flags
from pneumojax.config.flat import flatten
from pneumojax.config.load import load_file, nearest_fields, override
from pneumojax.configs import base
from pneumojax.errors import UserError

DEFAULT_CONFIG = Path(base.__file__)


@dataclass(frozen=True)
class Command:
    """A parsed command line."""

    verb: str
    options: Options
    given: tuple[str, ...]  # the names of its flags, without --mode, --config and fields
    arguments: tuple[str, ...]  # the files that predict and compare take
    config_file: str | None
    overrides: tuple[str, ...]  # "--config.<field>=<value>", in their order

    def config(self) -> ConfigDict:
        """The config of --config, or else of configs/base.py, with the overrides."""
        config = load_file(self.config_file or str(DEFAULT_CONFIG))
        override(config, self.overrides)
        return config

    @property
    def network(self) -> str:
        """The network class that the command names by a field or its config file, or ""."""
        pairs = (text.lstrip("-").partition("=") for text in self.overrides)
        named = [value for field, _, value in pairs if field == "config.model.network"]
        if not named and self.config_file:
            named = [self.config().model.network]
        return named[-1] if named else ""


def parse(argv: Sequence[str], verbs: Sequence[str]) -> Command:
    """Parses a command line; the first argument may be the verb, which is "train" by default."""
    # Arguments after a "--" are files and never flags.
    at = argv.index("--") if "--" in argv else len(argv)
    config_file, overrides, rest = _config_arguments(argv[:at])
    try:
        options, given, mode, arguments = parse_flags(rest)
    except flags.UnrecognizedFlagError as error:
        raise UserError(_unknown_flag(error.flagname, rest)) from error
    except flags.Error as error:
        raise UserError(str(error).strip().splitlines()[0]) from error
    if mode is None:
        mode = arguments.pop(0) if arguments else "train"
    if mode not in verbs:
        near = difflib.get_close_matches(mode, verbs, n=1)
        meant = f"did you mean {near[0]}?" if near else f"use one of {', '.join(verbs)}"
        raise UserError(f"{mode!r} is not a verb; {meant}")
    return Command(mode, options, given, (*arguments, *argv[at + 1 :]), config_file, overrides)


def _config_arguments(argv: Sequence[str]) -> tuple[str | None, tuple[str, ...], list[str]]:
    """The file of --config, its overrides as "--name=value", and the other arguments."""
    file, overrides, rest = None, [], []
    waiting = list(argv)
    while waiting:
        argument = waiting.pop(0)
        name, given, value = argument.partition("=")
        bare = name.lstrip("-")
        is_config = bare == "config" or bare.startswith(("config.", "noconfig."))
        if not argument.startswith("-") or not is_config:
            rest.append(argument)
        elif bare == "config":
            if not given and not waiting:
                raise UserError("--config: a file is missing, such as --config=configs/base.py")
            file = value if given else waiting.pop(0)
        elif bare.startswith("config.") and not given and not _is_switch(bare) and waiting:
            overrides.append(f"--{bare}={waiting.pop(0)}")
        else:
            overrides.append(argument)
    return file, tuple(overrides), rest


def _is_switch(name: str) -> bool:
    """Whether `config.<field>` is True or False, so that it can stand without a value."""
    return isinstance(flatten(base.get_config()).get(name.removeprefix("config.")), bool)


def _unknown_flag(name: str, argv: Sequence[str]) -> str:
    given = next((a for a in argv if a.lstrip("-").partition("=")[0] == name), f"--{name}")
    value = given.partition("=")[1] + given.partition("=")[2]
    fields = flatten(base.get_config())
    if near := difflib.get_close_matches(name, [*FLAGS, "mode", "config"], n=1, cutoff=0.7):
        meant = f"did you mean --{near[0]}{value}?"
    elif found := nearest_fields(name, fields):
        meant = f"did you mean {' or '.join(f'--config.{field}{value}' for field in found)}?"
    else:
        meant = "--help lists all flags"
    return f"there is no flag --{name}; {meant}"
