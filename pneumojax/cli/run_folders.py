"""Finds the run folders and the config of a command.

Overrides are relative to the run's own config: `--workdir=<run> --config.epochs=8` means that run
with eight epochs. With --config=<file> they are relative to the file.
"""

import time
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from pneumojax.cli.flags import path_of
from pneumojax.cli.parsing import Command
from pneumojax.config.check import check
from pneumojax.config.flat import AFTER_TRAINING, accepted_changes, differences
from pneumojax.config.load import earlier_run_name, override, resolve, run_name
from pneumojax.configs import base
from pneumojax.data.naming import DESCRIBING
from pneumojax.errors import UserError
from pneumojax.files import printable
from pneumojax.run.stored_config import read_config, refuse_foreign_network
from pneumojax.shipped import is_published, named_run, reference_run
from pneumojax.tracking.relays import Relays, open_relays

_TRACKERS = "--config.log.trackers="


class TrainedRuns(NamedTuple):
    """Run folders to use together."""

    workdirs: list[Path]
    any_network: bool  # whether the network may be a class from outside PneumoJAX


def config_of(command: Command) -> ConfigDict:
    """The config that a command asks for: checked, resolved and locked."""
    config = None if command.config_file else _stored_config(command)
    if config is None:
        config = command.config()
    else:
        override(config, command.overrides)
    check(config)
    return resolve(config).lock()


def new_or_own_folder(command: Command, config: ConfigDict) -> Path:
    """The run folder to train in: --workdir, or runs/<name> with the config's name."""
    if command.options.workdir is not None:
        return path_of("workdir", command.options.workdir)
    folder = Path("runs", run_name(config)).resolve()
    earlier = Path("runs", earlier_run_name(config)).resolve()
    if not folder.exists() and earlier.exists():
        print(f"using {printable(str(earlier))}, as earlier versions named this run")
        return earlier
    return folder


def inspected_folder(command: Command, config: ConfigDict) -> Path:
    """The folder for a profile or a preview: that of --workdir, or a new one.

    If overrides change the run of --workdir, the folder is a new one too, because another config
    is measured. The name of a new folder holds the time, so that a profile can be compared with
    the one before it.
    """
    if command.options.workdir is not None:
        folder = path_of("workdir", command.options.workdir)
        is_run = (folder / "config.json").exists()
        if not is_run or command.config_file or not differences(read_config(folder), config):
            return folder
    new = f"{run_name(config)}-{command.verb}-{time.strftime('%Y%m%d-%H%M%S')}"
    return Path("runs", new).resolve()


def trained_runs(command: Command) -> TrainedRuns:
    """The runs of --workdir, or else the bundled reference network."""
    if command.options.workdir is None:
        if command.verb == "evaluate" and command.options.films is None:
            raise UserError(
                "evaluate needs --workdir=<run folder>, or --films=<folder> to evaluate the "
                "reference network on your films"
            )
        reference = reference_run()
        if not (reference / "config.json").exists():
            raise UserError(
                f"{command.verb} needs --workdir=<run folder>: the reference network, which is "
                f"used without it, is not in {str(reference)!r}"
            )
        workdirs = [reference]
    else:
        names = command.options.workdir.split(",")
        workdirs = [path_of("workdir", str(named_run(name)) if name else name) for name in names]
    if command.config_file or _of_the_run(command):
        _take_changes(command, workdirs)
    # A network that the command names is trusted; by now it is known to be that of every run.
    any_network = command.options.any_network or bool(command.network)
    return TrainedRuns(workdirs, any_network)


def film_fields(command: Command) -> dict[str, Any]:
    """The fields of `config.data`, by name, with which a command describes the films of --films."""
    of_the_run = _of_the_run(command)
    arguments = [argument for argument in command.overrides if argument not in of_the_run]
    config = base.get_config()
    override(config, arguments)
    names = [argument.partition("=")[0].removeprefix("--config.data.") for argument in arguments]
    return {name: reduce(getitem, name.split("."), config.data) for name in names}


def trackers_of_report(command: Command, runs: TrainedRuns) -> Relays:
    """The trackers that `evaluate` sends its report to: those that the command itself names.

    The config of the run does not decide, because a run folder may come from a stranger, and the
    report shows the user's films. The report of several runs together goes nowhere.
    """
    is_asked_for = any(text.startswith(_TRACKERS) for text in command.overrides)
    workdir = runs.workdirs[0]
    if len(runs.workdirs) > 1 or not is_asked_for or not (workdir / "config.json").exists():
        return Relays((), 0.0)
    return open_relays(workdir, read_config(workdir))


def _of_the_run(command: Command) -> list[str]:
    """The overrides that are compared with the run: with --films, some describe other films."""
    if command.verb != "evaluate" or command.options.films is None:
        return list(command.overrides)
    describing = tuple(f"--config.data.{name}" for name in DESCRIBING)
    return [argument for argument in command.overrides if not argument.startswith(describing)]


def _stored_config(command: Command) -> ConfigDict | None:
    """The config of the run in --workdir, with its own network; None if there is no run yet."""
    if command.options.workdir is None:
        return None
    workdir = path_of("workdir", command.options.workdir)
    for run in (workdir, workdir / "fold-0"):  # of a cross-validation
        if (run / "config.json").exists():
            config = read_config(run)
            if not command.options.any_network:
                refuse_foreign_network(config, run, command.network)
            return config.unlock()
    return None


def _take_changes(command: Command, workdirs: list[Path]) -> None:
    """Changes the fields that may change before an evaluation, and refuses other changes."""
    from pneumojax.inference.ensemble import folds_of
    from pneumojax.run.begin import take_changes

    runs = [run for named in workdirs for run in folds_of(named) or [named]]
    is_one_of_the_users = len(runs) == 1 and not is_published(runs[0])
    takes_changes = command.verb == "evaluate" and is_one_of_the_users
    may_change = AFTER_TRAINING if takes_changes else frozenset[str]()
    advice = "leave out the fields that differ, since a run has a config of its own"
    if command.config_file:
        advice = (
            "leave out --config, since a run has a config of its own, and add --any_network if "
            "its network is a class of yours"
        )
    for workdir in runs:
        stored = read_config(workdir)
        if command.config_file:
            wanted = command.config()
            # One config file serves a cross-validation and all its folds, so the run says which.
            if wanted.data.folds:
                wanted.data.fold = stored.data.fold
        else:
            wanted = stored.copy_and_resolve_references()
            override(wanted, _of_the_run(command))
        check(wanted)
        wanted = resolve(wanted)
        if accepted_changes(stored, wanted, may_change, str(workdir), advice=advice):
            take_changes(workdir, wanted, may_change)
