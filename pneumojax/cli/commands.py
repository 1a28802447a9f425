"""The function of each verb. Heavy modules are imported in the function that needs them."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pneumojax import runtime
from pneumojax.api.load import load
from pneumojax.cli.flags import path_of
from pneumojax.cli.parsing import Command
from pneumojax.cli.run_folders import (
    TrainedRuns,
    config_of,
    film_fields,
    inspected_folder,
    new_or_own_folder,
    trackers_of_report,
    trained_runs,
)
from pneumojax.config.check import check
from pneumojax.config.load import resolve
from pneumojax.errors import UserError
from pneumojax.run.stored_config import has_validation
from pneumojax.shipped import space_file, space_names
from pneumojax.tracking.relays import report_files

if TYPE_CHECKING:
    from pneumojax.api.model import Model


def train(command: Command) -> None:
    """Trains a run to its last epoch, then evaluates it on its validation films."""
    from pneumojax.api.training import evaluate_trained
    from pneumojax.training.loop import train

    config = config_of(command)
    workdir = new_or_own_folder(command, config)
    options, cache_dir = command.options, cache_dir_of(command)
    train(config, workdir, cache_dir, verify_films=options.verify_films, download=options.download)
    if options.distributed and has_validation(config):
        _evaluate_alone(workdir, cache_dir, config.log.trackers)
    evaluate_trained(config, workdir, cache_dir)


def cross_validate(command: Command) -> None:
    """Trains a network for each fold, and scores every film with the one that held it out."""
    from pneumojax.crossvalidate import cross_validate

    config = config_of(command)
    workdir = new_or_own_folder(command, config)
    cross_validate(
        config, workdir, cache_dir_of(command), verify_films=command.options.verify_films
    )


def tune(command: Command) -> None:
    """Searches for better fields of a config; every trial is a run in the folder of the study."""
    from pneumojax.tuning.requirement import need_optuna

    need_optuna()
    from pneumojax.tuning.objective import parse_objectives
    from pneumojax.tuning.plan import Plan
    from pneumojax.tuning.search import tune
    from pneumojax.tuning.space import read_space

    config, options = command.config(), command.options
    check(config)
    config = resolve(config).lock()
    if options.space is None:
        known = ", ".join(space_names())
        raise UserError(f"tune needs --space=<file>, or one of the shipped spaces: {known}")
    if not has_validation(config):
        raise UserError("tune chooses on validation films: set config.data.val_fraction above 0")
    plan = Plan(
        config,
        read_space(space_file(options.space), config),
        parse_objectives(options.objective),
        options.sampler or "tpe",
        options.storage or "sqlite",
        options.prune,
    )
    folder = Path("runs", plan.name).resolve()
    if options.workdir is not None:
        folder = path_of("workdir", options.workdir)
    tune(plan, folder, options.trials, cache_dir_of(command), download=options.download)


def opened_model(runs: TrainedRuns, command: Command) -> "Model":
    """Opens runs as `pneumojax.load` does, and prints if their decision had to be fitted anew."""
    return load(
        runs.workdirs,
        any_network=runs.any_network,
        cache_dir=cache_dir_of(command),
        progress=True,
    )


def evaluate(command: Command) -> None:
    """Evaluates a run, or several together."""
    runs, options = trained_runs(command), command.options
    films = None if options.films is None else path_of("films", options.films)
    with trackers_of_report(command, runs) as relays:
        evaluated = opened_model(runs, command).evaluate(
            films,
            split=options.split,
            data=film_fields(command),
            verify_films=options.verify_films,
            progress=True,
        )
        if evaluated.folder.is_relative_to(workdir := runs.workdirs[0]):
            name = f"evaluation-{evaluated.folder.name}"
            relays.keep(name, report_files(evaluated.folder, workdir))


def predict(command: Command) -> None:
    """Predicts films, and fails if some of them could not be read."""
    runs, films, options = trained_runs(command), command.arguments, command.options
    from pneumojax.predict.predict import FilesToPredict

    # A wrong name is refused before the network is opened, which takes seconds.
    FilesToPredict.checked(films, options.output, options.overlays)
    model = opened_model(runs, command)
    written = model.predict_files(films, options.output, overlays=options.overlays, progress=True)
    fail_if_unreadable(written.unreadable)


def fail_if_unreadable(count: int) -> None:
    """Raises UserError if some of the predicted files could not be read."""
    if count:
        raise UserError(f"{count:,} of the files could not be read; the output says why")


def serve(command: Command) -> None:
    """Opens a page on this machine that reads films."""
    runs = trained_runs(command)
    from pneumojax.serve.serve import serve

    if len(runs.workdirs) > 1:
        line = "serve opens one run; evaluate and predict take several"
        raise UserError(line, flag="workdir")
    serve(runs.workdirs[0], command.options.port, any_network=runs.any_network)


def compare(command: Command) -> None:
    """Compares runs, or CSVs of predictions."""
    from pneumojax.evaluation.compare.compare import compare
    from pneumojax.run_list.listing import selected_folders

    options = command.options
    sources = selected_folders(command.arguments, options.where, options.sort)
    compare(sources, output=options.output, split=options.split)


def list_runs(command: Command) -> None:
    """Lists the runs of a folder."""
    from pneumojax.run_list.listing import list_runs

    options, folders = command.options, command.arguments or ("runs",)
    if len(folders) > 1:
        raise UserError(f"runs lists one folder, not {len(folders)}")
    output = None if options.output is None else path_of("output", options.output)
    root = Path(folders[0]).expanduser().absolute()
    list_runs(root, where=options.where, sort=options.sort, output=output)


def export(command: Command) -> None:
    """Writes trained networks for programs without PneumoJAX."""
    runs, options = trained_runs(command), command.options
    from pneumojax.export.export import describe, export
    from pneumojax.inference.predictor import Predictor
    from pneumojax.predict.sources import Sources

    if options.format is None or options.output is None:
        raise UserError("export needs --format=<format> and --output=<new folder>")
    films = Sources([options.films]).films() if options.films is not None else ()
    exported = export(
        Predictor.open(
            runs.workdirs, any_network=runs.any_network, cache_dir=cache_dir_of(command)
        ),
        path_of("output", options.output),
        options.format,
        options.dtype or "float32",
        [film.path for film in films],
    )
    print(describe(exported, options.format))


def profile(command: Command) -> None:
    """Measures the training step of a config."""
    from pneumojax.profiling.profile import profile

    config = config_of(command)
    workdir = inspected_folder(command, config)
    profile(config, workdir, cache_dir_of(command), verify_films=command.options.verify_films)


def preview(command: Command) -> None:
    """Draws films as the network sees them in training."""
    from pneumojax.preview import preview

    config = config_of(command)
    preview(config, inspected_folder(command, config), cache_dir_of(command))


def write_table(command: Command) -> None:
    """Writes the films of a folder as a table."""
    from pneumojax.data.cache import FilmCache
    from pneumojax.data.naming import naming_of
    from pneumojax.data.table_writing import Styles, write_table

    films, output = command.options.films, command.options.output
    if films is None or output is None:
        raise UserError("table needs --films=<folder> and --output=<file>.csv")
    config = command.config()
    check(config)
    count = command.options.styles
    cache = FilmCache(cache_dir_of(command), config.data.max_cache_gb, False)
    styles = Styles(count, cache) if count else None
    write_table(path_of("films", films), path_of("output", output), naming_of(config), styles)


def summarise(command: Command) -> None:
    """Lists the layers of a config's network."""
    from pneumojax.profiling.summary import summary

    output = command.options.output
    summary(config_of(command), None if output is None else path_of("output", output))


def print_config(command: Command) -> None:
    """Prints the config that a command would use, as its run folder's config.json has it."""
    print(json.dumps(config_of(command).to_dict(), indent=2))


def cache_dir_of(command: Command) -> Path:
    return path_of("cache_dir", command.options.cache_dir)


def _evaluate_alone(workdir: Path, cache_dir: Path, trackers: Sequence[str]) -> NoReturn:
    """Ends this process of a job. That of the leader goes on as the command `evaluate`."""
    is_leader = runtime.is_leader()
    runtime.leave()
    if not is_leader:
        runtime.end(0)
    program = str(Path(sys.argv[0]).resolve())
    more = [f"--workdir={workdir}", f"--cache_dir={cache_dir}", "--any_network"]
    if trackers:
        more.append(f"--config.log.trackers={','.join(trackers)}")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, program, "evaluate", *more])
