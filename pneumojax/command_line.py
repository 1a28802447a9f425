"""The flags of `main.py`. Nothing heavy is imported here, so that `--help` is there at once."""

import os
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from pneumojax import config as configs
from pneumojax.config_limits import wrong_field
from pneumojax.errors import UserError

_HELP = frozenset(("help", "?", "helpshort", "helpfull", "helpxml"))  # absl ends at these itself
DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "base.py"

CONFIG = config_flags.DEFINE_config_file(
    "config",
    help_string="The experiment, configs/base.py if unset; --config.<field>=<value> changes one.",
)
MODE = flags.DEFINE_enum(
    "mode",
    "train",
    [
        "train",
        "crossvalidate",
        "evaluate",
        "predict",
        "serve",
        "compare",
        "profile",
        "preview",
        "summary",
    ],
    "What to do; crossvalidate trains each of config.data.folds folds, predict takes films, "
    "folders or patterns, compare takes run folders or CSVs of predictions, profile measures the "
    "config's training step, preview draws films as it sees them, summary lists the network's "
    "layers, serve opens a page on this machine.",
)
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Run folder. Default for training: runs/<config name>-<digest of the config>; for predict, "
    "serve and evaluate with --films: the reference network. To evaluate or predict by several "
    "together: their folders with commas between, or that of a crossvalidate.",
)
SPLIT = flags.DEFINE_enum(
    "split",
    None,
    ["train", "val", "test", "all"],
    "What to evaluate; unset: the run's own validation, or the one split of --films.",
)
FILMS = flags.DEFINE_string(
    "films", None, "Evaluate films of this folder instead of the run's own, in the same layout."
)
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "Predictions: CSV, or JSON lines by the suffix .jsonl; films already in it are skipped. By "
    "default a new CSV in the run folder, in runs/reference for the reference network. Or the "
    "folder of a comparison.",
)
OVERLAYS = flags.DEFINE_string(
    "overlays", None, "Folder for pictures of predicted films with the evidence on them."
)
PORT = flags.DEFINE_integer(
    "port", 7860, "Of the page of --mode=serve; 0: any.", lower_bound=0, upper_bound=65535
)
CACHE_DIR = flags.DEFINE_string(
    "cache_dir",
    os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "pneumojax"),
    "Decoded films, the embedded set and compiled steps, shared between runs.",
)
VERIFY_FILMS = flags.DEFINE_bool(
    "verify_films", False, "Hash every film again before trusting the cache of decoded films."
)
DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "On GPUs: the same bits each time, at some cost in speed."
)
DISTRIBUTED = flags.DEFINE_bool(
    "distributed",
    False,
    "This is one of a training job's processes; SLURM, Open MPI or Cloud TPU say which, or the "
    "three flags after this one.",
)
COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0.")
PROCESSES = flags.DEFINE_integer("processes", None, "How many there are.", lower_bound=1)
PROCESS = flags.DEFINE_integer("process", None, "Which this is, from 0.", lower_bound=0)
ANY_NETWORK = flags.DEFINE_bool(
    "any_network",
    False,
    "Import the network's class that a run folder's config names even where it is none of "
    "PneumoJAX's, which runs its code.",
)
DOWNLOAD = flags.DEFINE_bool(
    "download", False, "Fetch the published weights that config.start.weights=imagenet names, once."
)


def path_of(flag: str, value: str) -> Path:
    """The absolute path that a flag's value names; a leading ~ is the home folder.

    Raises:
        UserError: it is empty, too long, holds a character that paths cannot, or names a user who
            does not exist.
    """
    if not value.strip():
        raise UserError(f"--{flag}: a name is missing; name a folder or leave the flag out")
    try:
        path = Path(value).expanduser().resolve()
        path.exists()  # the system refuses names that are too long
    except PermissionError:
        return path  # whoever opens it says so
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"--{flag}: {value[:200]!r} is no path: {reason}") from error
    return path


def parse(argv: list[str]) -> list[str]:
    """Parses all flags; what is left are the arguments, the program's name first.

    Raises:
        UserError: a flag or field does not exist, where one was mistyped with the one that was
            probably meant, or takes no such value, or the config file cannot be loaded or has other
            fields than `configs/base.py`.
    """
    # As an argument and not as the flag's default, which would be parsed where nobody catches.
    if "--config" in argv[:-1]:  # --config x is --config=x
        at = argv.index("--config")
        argv = [*argv[:at], f"--config={argv[at + 1]}", *argv[at + 2 :]]
    if not any(argument.startswith("--config=") for argument in argv):
        argv = [argv[0], f"--config={DEFAULT_CONFIG}", *argv[1:]]
    try:
        arguments = flags.FLAGS(argv)
        CONFIG.value.lock()  # a file that could not be loaded says so at the first use
    except flags.Error as error:
        lines = str(error).strip().splitlines()
        # absl puts a config file's whole traceback behind its own first line.
        told = configs.explain(argv) if len(lines) > 1 else None
        raise UserError(told or lines[0]) from error
    except SystemExit as error:
        if _HELP.intersection(argument.lstrip("-") for argument in argv[1:]):
            raise
        raise UserError(_explained(argv, error)) from error
    except Exception as error:  # a config file is a program, and a value may be any text
        raise UserError(_explained(argv, error)) from error
    if wrong := configs.wrong_config(configs.path_in(argv), CONFIG.value):
        raise UserError(wrong)
    if wrong := wrong_field(CONFIG.value.to_dict()):
        raise UserError(f"config.{wrong}")
    return arguments


def _explained(argv: list[str], error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return configs.explain(argv) or f"--config={configs.path_in(argv)}: {lines[0]}"
