"""The flags of the command line. Only light modules are imported, so that `--help` is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from pneumojax import runtime
from pneumojax.errors import UserError


class Flag(NamedTuple):
    """One flag."""

    name: str
    value: str  # the placeholder of its value in the help; "" for a flag without a value
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()
    lowest: int | None = None  # None for a flag that is no number
    highest: int | None = None


_FLAGS = (
    Flag(
        "workdir",
        "<folder>",
        "The run folder. Training makes runs/<config name>-<digest of the config> by default. "
        "Without it, predict, serve and evaluate --films use the bundled reference network. "
        "evaluate and predict also take several runs with commas between them, or the folder of "
        "a cross-validation, and average their probabilities.",
    ),
    Flag(
        "split",
        "<split>",
        "The films to evaluate or compare. By default the run's own validation films, or the one "
        "split of --films. beam-ingest: the films to decode, by default those of a training.",
        choices=("train", "val", "test", "all"),
    ),
    Flag(
        "films",
        "<folder or table>",
        "evaluate: the films to evaluate instead of the run's own, in a folder or in a CSV file. "
        "The fields config.data.negative, positive, ignored, patient_pattern, columns and "
        "dicom_metadata then describe these films. table: the folder to write as a table. export: "
        "films to check the export on, and to calibrate int8 with.",
    ),
    Flag(
        "output",
        "<path>",
        "Where to write. predict writes CSV, or JSON lines if the name ends in .jsonl, and skips "
        "films that are already there; by default it makes a new CSV in the run folder. compare, "
        "export and beam-predict make a folder; summary a JSON file; table a CSV file; runs a CSV "
        "file or a page, if the name ends in .html.",
    ),
    Flag(
        "format",
        "<format>",
        "export: a program for JAX, a model for ONNX Runtime, or a folder for pneumojax.load and "
        "a Hub.",
        choices=("stablehlo", "onnx", "safetensors"),
    ),
    Flag(
        "dtype",
        "<type>",
        "export: the type that an ONNX model computes in. By default float32.",
        choices=("float32", "float16", "int8"),
    ),
    Flag(
        "where",
        "<conditions>",
        "runs, compare: only the runs that fulfil these conditions on fields and figures, such as "
        "'model.norm=batch and auroc>=0.99'.",
    ),
    Flag(
        "sort",
        "<name>",
        "runs, compare: sort by a field or a figure, largest first; '-name' puts the smallest "
        "first.",
    ),
    Flag(
        "space",
        "<file>",
        "tune: a TOML file of the fields to search, with a range or values for each, or the name "
        "of a space that comes with PneumoJAX.",
    ),
    Flag(
        "objective",
        "<figures>",
        "tune: the figure to maximise, or '-name' to minimise it; several with commas between "
        "them. A figure of an epoch such as val_auroc or -val_loss, or one of the evaluation such "
        "as auroc or robustness.stress.mean.auroc.",
        default="val_auroc",
    ),
    Flag(
        "trials",
        "<number>",
        "tune: how many finished trials the study shall have.",
        default=20,
        lowest=1,
        highest=100_000,
    ),
    Flag(
        "sampler",
        "<name>",
        "tune: how values are proposed. By default tpe, which learns from earlier trials.",
        choices=("tpe", "random"),
    ),
    Flag(
        "storage",
        "<name>",
        "tune: how Optuna stores the study. By default sqlite; journal is for several processes "
        "that search one study.",
        choices=("sqlite", "journal"),
    ),
    Flag(
        "prune",
        "",
        "tune: stop a trial after an epoch that is worse than the median of earlier trials.",
    ),
    Flag(
        "styles",
        "<number>",
        "table: also write a column style, which divides the training films into so many groups "
        "that look as if they came from different machines. config.data.fold_by=style then holds "
        "out one after another.",
        lowest=2,
        highest=100,
    ),
    Flag(
        "workers",
        "<number>",
        "beam-ingest, beam-predict: the number of worker processes on this machine.",
        default=1,
        lowest=1,
        highest=1024,
    ),
    Flag(
        "shard_films",
        "<number>",
        "beam-ingest, beam-predict: the number of films in a shard. A worker that is stopped loses "
        "the shard it was at.",
        default=1024,
        lowest=1,
        highest=1_000_000,
    ),
    Flag(
        "beam_options",
        "<options>",
        "beam-ingest, beam-predict: options of Apache Beam in place of --workers, such as "
        "'--runner=FlinkRunner --flink_master=<host>:8081'.",
        default="",
    ),
    Flag("parquet", "", "beam-predict: write Parquet in place of CSV."),
    Flag(
        "overlays",
        "<folder>",
        "Write a picture of each film there that shows where the network found evidence.",
    ),
    Flag(
        "port",
        "<number>",
        "The port of the page; 0 picks a free one.",
        default=7860,
        lowest=0,
        highest=65535,
    ),
    Flag(
        "cache_dir",
        "<folder>",
        "Decoded films, the embedded data set and compiled steps, which all runs share.",
        default=runtime.CACHE_DIR,
    ),
    Flag("verify_films", "", "Hash every film again before trusting the cache of decoded films."),
    Flag("deterministic", "", "Give the same bits each time on GPUs too, at some cost in speed."),
    Flag(
        "distributed",
        "",
        "This process is one of several that train together. SLURM, Open MPI and Cloud TPU tell "
        "it which one; elsewhere the next three flags do.",
    ),
    Flag("coordinator", "<host:port>", "The address of process 0."),
    Flag("processes", "<number>", "The number of processes.", lowest=1),
    Flag("process", "<number>", "The index of this process, from 0.", lowest=0),
    Flag(
        "any_network",
        "",
        "Allow a run folder to name a network class that is not PneumoJAX's. Importing it runs "
        "its code.",
    ),
    Flag(
        "download",
        "",
        "Fetch the published weights that --config.start.weights=imagenet names, once.",
    ),
    Flag("print_config", "", "Print the config that the command would use as JSON, and stop."),
)
FLAGS = {flag.name: flag for flag in _FLAGS}


@dataclass(frozen=True)
class Options:
    """The value of each flag of `FLAGS`; None if it has none."""

    workdir: str | None
    split: str | None
    films: str | None
    output: str | None
    format: str | None
    dtype: str | None
    where: str | None
    sort: str | None
    space: str | None
    objective: str
    trials: int
    sampler: str | None
    storage: str | None
    prune: bool
    styles: int | None
    workers: int
    shard_films: int
    beam_options: str
    parquet: bool
    overlays: str | None
    port: int
    cache_dir: str
    verify_films: bool
    deterministic: bool
    distributed: bool
    coordinator: str | None
    processes: int | None
    process: int | None
    any_network: bool
    download: bool
    print_config: bool


class ParsedFlags(NamedTuple):
    """A command line without --config and its fields."""

    options: Options
    given: tuple[str, ...]  # the names of the flags on it
    mode: str | None  # the value of --mode
    arguments: list[str]  # everything that is no flag


def parse_flags(argv: list[str]) -> ParsedFlags:
    """Raises `flags.Error` for an unknown flag or a wrong value."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may follow arguments
    flags.DEFINE_string("mode", None, "", flag_values=values)
    for flag in FLAGS.values():
        _define(flag, values)
    arguments = values(["", *argv])[1:]
    options: dict[str, Any] = {name: values[name].value for name in FLAGS}
    given = tuple(name for name in FLAGS if values[name].present)
    return ParsedFlags(Options(**options), given, values["mode"].value, arguments)


def _define(flag: Flag, values: flags.FlagValues) -> None:
    if flag.lowest is not None:
        flags.DEFINE_integer(
            flag.name,
            flag.default,
            flag.help,
            lower_bound=flag.lowest,
            upper_bound=flag.highest,
            flag_values=values,
        )
    elif flag.choices:
        flags.DEFINE_enum(flag.name, None, flag.choices, flag.help, flag_values=values)
    elif flag.value:
        flags.DEFINE_string(flag.name, flag.default, flag.help, flag_values=values)
    else:
        flags.DEFINE_bool(flag.name, bool(flag.default), flag.help, flag_values=values)


def path_of(flag: str, value: str) -> Path:
    """The absolute path that a flag's value names; a leading ~ is the home folder."""
    if not value.strip():
        raise UserError("a name is missing; name a folder or leave the flag out", flag=flag)
    try:
        path = Path(value).expanduser().resolve()
        path.exists()  # the system refuses names that are too long
    except PermissionError:
        return path  # opening it gives a better message
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{value[:200]!r} is not a path: {reason}", flag=flag) from error
    return path
