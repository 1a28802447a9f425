"""Every verb of the command line, once: its help, flags, examples and function; and --help."""

import importlib.metadata
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pneumojax
from pneumojax.cli import commands
from pneumojax.cli.flags import FLAGS
from pneumojax.cli.parsing import Command
from pneumojax.errors import UserError
from pneumojax.shipped import config_names

_CONFIG_TO_USE = (
    (
        "--config=<file>",
        "A Python file that makes a config, or the name of a config that comes with PneumoJAX: "
        f"{', '.join(config_names())}. Default: base.",
    ),
    (
        "--config.<field>=<value>",
        "Change a field. --print_config shows them all, and configs/base.py explains them.",
    ),
)
_CONFIG_OF_THE_RUN = (
    (
        "--config=<file>",
        "The config that the run must have. It also allows the network class that it names.",
    ),
    (
        "--config.<field>=<value>",
        "A value that the run's own config must have. Only evaluate may change fields: those of "
        "config.decision, and config.data.max_cache_gb.",
    ),
)
_PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "numpy")


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


def overview() -> str:
    """The help of the program: every verb in a line."""
    program, width = _program(), max(map(len, VERBS))
    return "\n".join(
        [
            f"usage: {program} [verb] [flags] [files]",
            "",
            "PneumoJAX reads chest X-rays for pneumonia. Research and education only, not a "
            "medical device.",
            "",
            "verbs:",
            *(f"  {name:{width}}  {verb.summary}" for name, verb in VERBS.items()),
            "",
            "Without a verb the program trains. --mode=<verb> works too.",
            f"{program} <verb> --help shows the flags of a verb; --version the versions.",
            "",
            "examples:",
            *(f"  {program} {verb.examples[0]}" for verb in VERBS.values()),
        ]
    )


def help_of(name: str) -> str:
    """The help of one verb: only its flags, and examples."""
    verb, program = VERBS[name], _program()
    parts = [f"usage: {program} {name} [flags]"]
    if verb.makes_config:
        parts.append("[--config=<file>] [--config.<field>=<value> ...]")
    if verb.arguments:
        parts.append(verb.arguments)
    lines = [" ".join(parts), "", *textwrap.wrap(verb.help, 100), "", "flags:"]
    if verb.takes_config:
        for shown, text in _CONFIG_TO_USE if verb.makes_config else _CONFIG_OF_THE_RUN:
            lines += _entry(shown, text)
    for flag in (FLAGS[name] for name in verb.flags):
        text = flag.help
        if flag.choices:
            text += f" One of {', '.join(flag.choices)}."
        if flag.default:
            text += f" Default: {flag.default}."
        lines += _entry(f"--{flag.name}={flag.value}" if flag.value else f"--{flag.name}", text)
    return "\n".join([*lines, "", "examples:", *(f"  {program} {e}" for e in verb.examples)])


def version() -> str:
    """The program's version, and those of the packages that its results depend on."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return f"PneumoJAX {pneumojax.__version__} ({packages})"


def _program() -> str:
    """The command that started this process: main.py of a checkout, or the installed one."""
    return "python main.py" if Path(sys.argv[0]).name == "main.py" else "pneumojax"


def _entry(flag: str, text: str) -> list[str]:
    return [
        f"  {flag}",
        *textwrap.wrap(text, 92, initial_indent=" " * 6, subsequent_indent=" " * 6),
    ]
