"""Trains, evaluates and uses PneumoJAX networks: `python main.py --config=configs/base.py`.

Research and education only, not a medical device.
"""

import io
import os
import signal
import sys
import time
from logging import CRITICAL, getLogger
from pathlib import Path
from types import FrameType
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from pneumojax import config as configs
from pneumojax import runtime
from pneumojax.errors import Stopped, UserError

# What is used where no run folder is named; what comes of it goes where its user has runs.
REFERENCE = Path(__file__).resolve().parent / "models" / "reference"
REFERENCE_RESULTS = Path("runs/reference")

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


def parse(argv: list[str]) -> list[str]:
    """Flags parsed, and a mistyped config field answered with the one that was probably meant."""
    # As an argument and not as the flag's default, which would be parsed where nobody catches.
    if "--config" in argv[:-1]:  # --config x is --config=x
        at = argv.index("--config")
        argv = [*argv[:at], f"--config={argv[at + 1]}", *argv[at + 2 :]]
    if not any(argument.startswith("--config=") for argument in argv):
        argv = [argv[0], f"--config={Path(__file__).parent / 'configs' / 'base.py'}", *argv[1:]]
    try:
        arguments = flags.FLAGS(argv)
        CONFIG.value.lock()  # a file that could not be loaded says so at the first use
        return arguments
    except flags.Error as error:
        lines = str(error).strip().splitlines()  # of a config file's own errors a whole traceback
        _fail(" ".join(dict.fromkeys((lines[0], lines[-1]))))
    except Exception as error:  # a config file is a program, and a value may be any text
        _fail(configs.explain(argv, error))


def main(argv: list[str]) -> None:
    """One verb; everything heavy is imported behind it."""
    # Orbax tells of every file, and its threads of a full disk by a traceback each; what concerns
    # the run comes as an exception as well.
    logging.set_verbosity(logging.FATAL)
    for name in ("asyncio", "concurrent.futures"):
        getLogger(name).setLevel(CRITICAL)
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _run(argv[1:])
    except UserError as error:
        _fail(str(error))
    except Stopped as stopped:
        _fail(f"{stopped}{_goes_on()}", stopped.status)
    except KeyboardInterrupt:
        _fail(f"interrupted{_goes_on()}", 128 + signal.SIGINT)
    except Exception as error:
        if DISTRIBUTED.value and runtime.is_of_another_process(error):
            _fail(f"another process of this job has ended, or cannot be reached{_goes_on()}")
        raise


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number, f"ended by {signal.Signals(number).name}")


def _goes_on() -> str:
    """What comes of a run that was stopped."""
    goes_on = MODE.value in ("train", "crossvalidate") or (MODE.value == "predict" and OUTPUT.value)
    return "; the same command goes on from there" if goes_on else ""


def _run(arguments: list[str]) -> None:
    if MODE.value not in ("predict", "compare") and arguments:
        raise UserError(f"{arguments[0]!r} is no flag; only predict and compare take files")
    cache_dir = Path(CACHE_DIR.value).expanduser().resolve()
    runtime.prepare(cache_dir, deterministic=DETERMINISTIC.value)
    if DISTRIBUTED.value:
        if MODE.value != "train":
            raise UserError("--distributed: only --mode=train divides its work between processes")
        runtime.join(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    if MODE.value in ("train", "crossvalidate"):
        config = configs.resolve(CONFIG.value)
        workdir = Path(WORKDIR.value or f"runs/{configs.run_name(config)}").expanduser().resolve()
        if MODE.value == "crossvalidate":
            from pneumojax.evaluation.crossvalidate import cross_validate

            cross_validate(config, workdir, cache_dir, verify_films=VERIFY_FILMS.value)
            return

        from pneumojax.evaluation.evaluate import evaluate_run
        from pneumojax.training.loop import train

        train(
            config,
            workdir,
            cache_dir,
            verify_films=VERIFY_FILMS.value,
            download=DOWNLOAD.value,
        )
        if config.data.val == "folder" or config.data.val_fraction > 0 or config.data.folds:
            if DISTRIBUTED.value:
                _evaluate_alone(workdir, cache_dir)
            evaluate_run([workdir], cache_dir, any_network=True)  # it is the one of this config
        return
    given = any(argument.startswith("--config") for argument in sys.argv[1:])
    if MODE.value == "summary":
        from pneumojax.profiling.summary import summary

        if WORKDIR.value and not given:
            config = _config_of(Path(WORKDIR.value).expanduser().resolve())
        else:
            config = configs.resolve(CONFIG.value)
        summary(config, Path(OUTPUT.value).expanduser().resolve() if OUTPUT.value else None)
        return
    if MODE.value in ("profile", "preview"):
        _look(cache_dir, given)
        return
    if MODE.value == "compare":
        from pneumojax.evaluation.compare import compare

        compare(arguments, output=OUTPUT.value, split=SPLIT.value)
        return
    workdirs, results = _trained_runs()
    if given:
        from pneumojax.run import refuse_other_config

        for workdir in workdirs:
            refuse_other_config(workdir, configs.resolve(CONFIG.value))
    any_network = ANY_NETWORK.value or given  # a config of the user's own names it as well
    if MODE.value == "evaluate":
        from pneumojax.evaluation.evaluate import evaluate_run

        evaluate_run(
            workdirs,
            cache_dir,
            split=SPLIT.value,
            root=FILMS.value,
            results=results,
            verify_films=VERIFY_FILMS.value,
            any_network=any_network,
        )
        return
    if MODE.value == "serve":
        from pneumojax.serve.serve import serve

        if len(workdirs) > 1:
            raise UserError("--workdir: serve opens one run; evaluate and predict take several")
        serve(workdirs[0], PORT.value, any_network=any_network)
        return
    from pneumojax.predict.predict import predict_files

    unreadable = predict_files(
        workdirs,
        arguments,
        output=OUTPUT.value,
        overlays=OVERLAYS.value,
        results=results,
        any_network=any_network,
    )
    if unreadable:
        raise UserError(f"{unreadable:,} of the files could not be read; the output says why")


def _evaluate_alone(workdir: Path, cache_dir: Path) -> NoReturn:
    """Ends the job; its leader goes on as the command that evaluates, on its own devices."""
    leads = runtime.leads()
    runtime.leave()
    if not leads:
        runtime.end(0)
    more = ["--mode=evaluate", f"--workdir={workdir}", f"--cache_dir={cache_dir}", "--any_network"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(Path(__file__).resolve()), *more])


def _trained_runs() -> tuple[list[Path], Path | None]:
    """The run folders to use, and the folder that takes what comes of them.

    That is None where they have one: nothing is written beside the reference network alone.
    """
    if WORKDIR.value:
        workdirs = [Path(name).expanduser().resolve() for name in WORKDIR.value.split(",")]
        return workdirs, REFERENCE_RESULTS.resolve() if workdirs == [REFERENCE] else None
    if MODE.value == "evaluate" and FILMS.value is None:
        raise UserError(
            "--mode=evaluate needs --workdir=<run folder>, or --films=<folder> for the reference "
            "network on films of yours"
        )
    if not (REFERENCE / "config.json").exists():
        raise UserError(
            f"--mode={MODE.value} needs --workdir=<run folder>: the reference network, which "
            f"would be used without, is not in {str(REFERENCE)!r}"
        )
    return [REFERENCE], REFERENCE_RESULTS.resolve()


def _look(cache_dir: Path, config_given: bool) -> None:
    """Into the run of --workdir, of whose config it is where none is given, or a new folder."""
    config = configs.resolve(CONFIG.value)
    # Never the same folder twice, so that a profile can be compared with the one before a change.
    default = f"runs/{configs.run_name(config)}-{MODE.value}-{time.strftime('%Y%m%d-%H%M%S')}"
    workdir = Path(WORKDIR.value or default).expanduser().resolve()
    if not config_given and (workdir / "config.json").exists():
        config = _config_of(workdir)

    if MODE.value == "preview":
        from pneumojax.preview import preview

        preview(config, workdir, cache_dir)
        return

    from pneumojax.profiling.profile import profile

    profile(config, workdir, cache_dir, verify_films=VERIFY_FILMS.value)


def _config_of(workdir: Path) -> ConfigDict:
    """A run's own, whose network may be imported."""
    from pneumojax.run import read_config, refuse_foreign_network

    config = read_config(workdir)
    if not ANY_NETWORK.value:
        refuse_foreign_network(config, workdir)
    return config


def _fail(line: str, status: int = 1) -> NoReturn:
    print(f"error: {line}", file=sys.stderr)
    if flags.FLAGS.is_parsed() and DISTRIBUTED.value:
        runtime.end(status)
    sys.exit(status)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main, flags_parser=parse)
