"""Every verb of the command line, once: its help, flags, examples and function."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pneumojax.cli import beam_commands, commands
from pneumojax.cli.parsing import Command
from pneumojax.errors import UserError


class Verb(NamedTuple):
    """One verb of the command line."""

    summary: str  # one line for the list of verbs
    help: str
    run: Callable[[Command], None]
    flags: tuple[str, ...]  # the flags that it reads, in `flags.FLAGS`; all others are refused
    examples: tuple[str, ...]  # command lines without the program's name
    arguments: str = ""  # the placeholder of the files that it takes
    takes_config: bool = True  # whether it reads --config and its fields

    @property
    def makes_config(self) -> bool:
        """Whether it builds a config from --config; other verbs compare that with their run's."""
        return "print_config" in self.flags


# `program` reads the last two before a verb runs, because they are settings of JAX.
_RUN = ("workdir", "cache_dir", "deterministic")
_BEAM = ("workers", "shard_films", "beam_options")
VERBS = {
    "train": Verb(
        summary="train a network, then evaluate it on its validation films",
        help="Trains the network of a config to its last epoch, and evaluates it on the "
        "validation films. The same command resumes a run that was interrupted. With --workdir "
        "alone, fields of the config are relative to that run's own: a run can get more epochs.",
        flags=(
            *_RUN,
            "verify_films",
            "download",
            "any_network",
            "print_config",
            "distributed",
            "coordinator",
            "processes",
            "process",
        ),
        examples=(
            "train --config=quick",
            "train --config.data.root=<folder with train/>",
            "train --workdir=<run folder> --config.epochs=8",
        ),
        run=commands.train,
    ),
    "crossvalidate": Verb(
        summary="train a network for each fold of patients",
        help="Trains config.data.folds networks, each without the patients of one fold, and "
        "scores every film with the network that was not trained on it.",
        flags=(*_RUN, "verify_films", "any_network", "print_config"),
        examples=("crossvalidate --config.data.folds=5",),
        run=commands.cross_validate,
    ),
    "tune": Verb(
        summary="search for better fields of a config",
        help="Trains a config again and again with other values of the fields in --space, and "
        "proposes values by Optuna. Every trial is a run in the folder of the study. The same "
        "command resumes a study that was interrupted, and --trials can be raised.",
        flags=(
            *_RUN,
            "space",
            "objective",
            "trials",
            "sampler",
            "storage",
            "prune",
            "download",
            "print_config",
        ),
        examples=(
            "tune --config=reference --space=reference --objective=auroc --trials=40",
            "tune --config=quick --space=<file>.toml --prune",
        ),
        run=commands.tune,
    ),
    "evaluate": Verb(
        summary="evaluate a run on its own films or on others",
        help="Evaluates the best checkpoint of a run, or of several runs together, and writes a "
        "report. A changed decision rule, such as --config.decision.rule=sensitivity, is fitted "
        "again on the validation films first.",
        flags=(*_RUN, "split", "films", "verify_films", "any_network"),
        examples=(
            "evaluate --workdir=<run folder> --split=test",
            "evaluate --films=<folder>",
        ),
        run=commands.evaluate,
    ),
    "predict": Verb(
        summary="predict films with a run or with the reference network",
        help="Predicts films. Each argument is a film, a folder or a pattern such as '*.dcm'.",
        arguments="<film, folder or pattern> ...",
        flags=(*_RUN, "output", "overlays", "any_network"),
        examples=("predict film.jpeg", "predict --workdir=<run folder> --output=out.csv <folder>"),
        run=commands.predict,
    ),
    "serve": Verb(
        summary="open a page on this machine that reads films",
        help="Opens a page for the browsers of this machine. It reads films with one run.",
        flags=(*_RUN, "port", "any_network"),
        examples=("serve", "serve --workdir=<run folder> --port=0"),
        run=commands.serve,
    ),
    "compare": Verb(
        summary="compare runs on the same films",
        help="Compares the predictions of runs on the same films. Each argument is a run folder, "
        "an evaluation or a CSV of predictions. With --where or --sort it is a folder whose runs "
        "are listed by the verb runs.",
        arguments="<run folder or CSV> <run folder or CSV> ...",
        flags=("split", "output", "where", "sort"),
        takes_config=False,
        examples=("compare runs/a runs/b", "compare runs --where='model.norm=batch'"),
        run=commands.compare,
    ),
    "runs": Verb(
        summary="list the runs of a folder",
        help="Lists the runs below a folder, by default runs/: their state, figures with "
        "intervals, films and time, and the fields in which their configs differ.",
        arguments="[folder]",
        flags=("where", "sort", "output"),
        takes_config=False,
        examples=("runs", "runs <folder> --where='auroc>=0.99' --sort=auroc --output=runs.html"),
        run=commands.list_runs,
    ),
    "export": Verb(
        summary="write a network for programs without PneumoJAX",
        help="Writes a run, or several that answer together, as StableHLO, ONNX or safetensors, "
        "and compares the answers of the written file with those of the run.",
        flags=(*_RUN, "format", "dtype", "films", "output", "any_network"),
        examples=(
            "export --format=onnx --output=<new folder>",
            "export --workdir=<run folder> --format=safetensors --output=<new folder>",
        ),
        run=commands.export,
    ),
    "beam-ingest": Verb(
        summary="decode films for training on Apache Beam",
        help="Decodes the films of a config into shards in the cache, on several processes or on a "
        "cluster. A training with the same films, preprocessing and --cache_dir streams them. The "
        "same command goes on with the shards that are left.",
        flags=("workdir", "cache_dir", "split", *_BEAM, "any_network", "print_config"),
        examples=("beam-ingest --config.data.root=<folder with train/> --workers=2",),
        run=beam_commands.ingest,
    ),
    "beam-predict": Verb(
        summary="predict films on Apache Beam",
        help="Predicts films as predict does, on several processes or on a cluster, and writes a "
        "file for each shard of them into the folder --output. The same command goes on with the "
        "shards that are left.",
        arguments="<film, folder or pattern> ...",
        flags=(*_RUN, "output", *_BEAM, "parquet", "any_network"),
        examples=("beam-predict --output=<new folder> --workers=2 <folder>",),
        run=beam_commands.predict,
    ),
    "profile": Verb(
        summary="measure the training step of a config",
        help="Measures the time and the memory of a config's training step, and draws a page.",
        flags=(*_RUN, "verify_films", "any_network", "print_config"),
        examples=("profile --config=reference", "profile --workdir=<run folder>"),
        run=commands.profile,
    ),
    "preview": Verb(
        summary="draw training films as the network sees them",
        help="Draws a page of training films before and after augmentation.",
        flags=(*_RUN, "any_network", "print_config"),
        examples=("preview --config=reference",),
        run=commands.preview,
    ),
    "table": Verb(
        summary="write a folder of films as a table",
        help="Writes the films of a folder as a CSV file with the columns path, label, patient and "
        "split, which config.data.table reads. Further columns, such as age and sex, can be added "
        "to it. config.data names the classes and the patients of the folder.",
        flags=("films", "output", "styles", "cache_dir", "print_config"),
        examples=(
            "table --films=<folder> --output=films.csv",
            "table --films=<folder> --output=films.csv --styles=3",
        ),
        run=commands.write_table,
    ),
    "summary": Verb(
        summary="list the layers of a config's network",
        help="Lists the layers of a config's network with their shapes, parameters and work.",
        flags=(*_RUN, "output", "any_network", "print_config"),
        examples=("summary --config=inception_v3",),
        run=commands.summarise,
    ),
}


def refuse_unread(command: Command) -> None:
    """Raises UserError for the first flag or file of a command that its verb does not read."""
    verb = VERBS[command.verb]
    for flag in command.given:
        if flag not in verb.flags:
            readers = [name for name, other in VERBS.items() if flag in other.flags]
            raise UserError(_unread(command.verb, f"--{flag}", readers))
    if not verb.takes_config and (command.config_file is not None or command.overrides):
        given = "--config" if command.config_file is not None else command.overrides[0]
        readers = [name for name, other in VERBS.items() if other.takes_config]
        raise UserError(_unread(command.verb, given.partition("=")[0], readers))
    if command.arguments and not verb.arguments:
        readers = [name for name, other in VERBS.items() if other.arguments]
        raise UserError(
            f"{command.arguments[0]!r}: {command.verb} takes no files; {_listed(readers)} do"
        )


def _unread(verb: str, flag: str, readers: Sequence[str]) -> str:
    do = "do" if len(readers) > 1 else "does"
    return f"{flag}: {verb} does not read this flag; {_listed(readers)} {do}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*filter(None, [", ".join(names[:-1])]), names[-1]])
