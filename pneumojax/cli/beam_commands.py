"""The functions of the verbs that run on Apache Beam."""

import shlex

from pneumojax.beam.engine import Engine
from pneumojax.cli.commands import cache_dir_of, fail_if_unreadable
from pneumojax.cli.flags import Options, path_of
from pneumojax.cli.parsing import Command
from pneumojax.cli.run_folders import config_of, trained_runs
from pneumojax.errors import UserError


def ingest(command: Command) -> None:
    """Decodes the films of a config into shards that a training streams."""
    engine, options = _engine(command.options), command.options
    from pneumojax.beam.ingest import ingest

    ingest(config_of(command), options.split, cache_dir_of(command), options.shard_films, engine)


def predict(command: Command) -> None:
    """Predicts films into a folder, and fails if some of them could not be read."""
    runs, options = trained_runs(command), command.options
    if options.output is None:
        raise UserError("beam-predict needs --output=<folder>")
    engine = _engine(options)
    from pneumojax.beam.predict import Runs, predict_shards
    from pneumojax.predict.sources import Sources

    predicted = predict_shards(
        Runs(tuple(runs.workdirs), runs.any_network, cache_dir_of(command)),
        Sources(list(command.arguments)),
        path_of("output", options.output),
        films_per_shard=options.shard_films,
        suffix=".parquet" if options.parquet else ".csv",
        runner=engine,
    )
    fail_if_unreadable(predicted.unreadable)


def _engine(options: Options) -> Engine:
    try:
        return Engine(options.workers, tuple(shlex.split(options.beam_options)))
    except ValueError as error:
        raise UserError(
            f"{options.beam_options!r} cannot be split into options ({error}); close its quotes",
            flag="beam_options",
        ) from error
