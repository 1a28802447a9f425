"""Trains, evaluates and uses PneumoJAX networks: `python main.py --config=configs/base.py`.

Research and education only, not a medical device.
"""

import errno
import io
import os
import sys
import time
from collections.abc import Callable
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict

from pneumojax import command_line, runtime, signals
from pneumojax import config as configs
from pneumojax.command_line import (
    ANY_NETWORK,
    CACHE_DIR,
    CONFIG,
    COORDINATOR,
    DETERMINISTIC,
    DISTRIBUTED,
    DOWNLOAD,
    FILMS,
    MODE,
    OUTPUT,
    OVERLAYS,
    PORT,
    PROCESS,
    PROCESSES,
    SPLIT,
    VERIFY_FILMS,
    WORKDIR,
)
from pneumojax.data.tensorflow_import import quiet
from pneumojax.errors import Stopped, UserError
from pneumojax.files import printable

# The run used when --workdir is not given. Its results go to the folder where its user has runs.
REFERENCE = Path(__file__).resolve().parent / "models" / "reference"
REFERENCE_RESULTS = Path("runs/reference")
# The errors that the system gives where there is no room to write, or nobody reads any more.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE)
flags.adopt_module_key_flags(command_line)  # --help lists them


def main(argv: list[str]) -> None:
    """One verb; everything heavy is imported behind it."""
    # Orbax tells of every file, and its threads of a full disk by a traceback each; what concerns
    # the run comes as an exception as well.
    logging.set_verbosity(logging.FATAL)
    for name in ("asyncio", "concurrent.futures"):
        getLogger(name).setLevel(CRITICAL)
    signals.raise_stopped()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _run(argv[1:])
        sys.stdout.flush()  # where it leads to a full disk, that is told here and not at the end
    except UserError as error:
        _fail(str(error))
    except Stopped as stopped:
        _end(f"{stopped}{_goes_on()}", stopped.status)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            _fail(f"cannot write {error.filename or 'the output'}: {error.strerror}{_goes_on()}")
        if DISTRIBUTED.value and runtime.is_of_another_process(error):
            _fail(f"another process of this job has ended, or cannot be reached{_goes_on()}")
        raise
    finally:
        signals.end_quietly()


def _run(arguments: list[str]) -> None:
    if MODE.value not in ("predict", "compare") and arguments:
        raise UserError(f"{arguments[0]!r} is no flag; only predict and compare take files")
    cache_dir = command_line.path_of("cache_dir", CACHE_DIR.value)
    runtime.prepare(cache_dir, deterministic=DETERMINISTIC.value)
    if DISTRIBUTED.value:
        if MODE.value != "train":
            raise UserError("--distributed: only --mode=train divides its work between processes")
        runtime.join(COORDINATOR.value, PROCESSES.value, PROCESS.value)
    verbs: dict[str, Callable[[], None]] = {
        "train": lambda: _train(cache_dir),
        "crossvalidate": lambda: _cross_validate(cache_dir),
        "evaluate": lambda: _evaluate(cache_dir),
        "predict": lambda: _predict(arguments),
        "serve": _serve,
        "compare": lambda: _compare(arguments),
        "profile": lambda: _profile(cache_dir),
        "preview": lambda: _preview(cache_dir),
        "summary": _summarise,
    }
    verbs[MODE.value]()


def _train(cache_dir: Path) -> None:
    from pneumojax.evaluation.evaluate import evaluate_run
    from pneumojax.training.loop import train

    config = configs.resolve(CONFIG.value)
    workdir = _run_folder(config)
    train(config, workdir, cache_dir, verify_films=VERIFY_FILMS.value, download=DOWNLOAD.value)
    if config.data.val == "folder" or config.data.val_fraction > 0 or config.data.folds:
        if DISTRIBUTED.value:
            _evaluate_alone(workdir, cache_dir)
        evaluate_run([workdir], cache_dir, any_network=True)  # it is the one of this config


def _cross_validate(cache_dir: Path) -> None:
    from pneumojax.crossvalidate import cross_validate

    config = configs.resolve(CONFIG.value)
    cross_validate(config, _run_folder(config), cache_dir, verify_films=VERIFY_FILMS.value)


def _evaluate(cache_dir: Path) -> None:
    workdirs, results = _trained_runs()
    from pneumojax.evaluation.evaluate import evaluate_run

    evaluate_run(
        workdirs,
        cache_dir,
        split=SPLIT.value,
        root=None if FILMS.value is None else str(command_line.path_of("films", FILMS.value)),
        results=results,
        verify_films=VERIFY_FILMS.value,
        any_network=_any_network(),
    )


def _predict(arguments: list[str]) -> None:
    workdirs, results = _trained_runs()
    from pneumojax.predict.predict import predict_files

    unreadable = predict_files(
        workdirs,
        arguments,
        output=OUTPUT.value,
        overlays=OVERLAYS.value,
        results=results,
        any_network=_any_network(),
    )
    if unreadable:
        raise UserError(f"{unreadable:,} of the files could not be read; the output says why")


def _serve() -> None:
    workdirs, _ = _trained_runs()
    from pneumojax.serve.serve import serve

    if len(workdirs) > 1:
        raise UserError("--workdir: serve opens one run; evaluate and predict take several")
    serve(workdirs[0], PORT.value, any_network=_any_network())


def _compare(arguments: list[str]) -> None:
    from pneumojax.evaluation.compare.compare import compare

    compare(arguments, output=OUTPUT.value, split=SPLIT.value)


def _profile(cache_dir: Path) -> None:
    from pneumojax.profiling.profile import profile

    config, workdir = _looked_into()
    profile(config, workdir, cache_dir, verify_films=VERIFY_FILMS.value)


def _preview(cache_dir: Path) -> None:
    from pneumojax.preview import preview

    preview(*_looked_into(), cache_dir)


def _summarise() -> None:
    from pneumojax.profiling.summary import summary

    if WORKDIR.value and not _config_given():
        config = _config_of(command_line.path_of("workdir", WORKDIR.value))
    else:
        config = configs.resolve(CONFIG.value)
    summary(config, command_line.path_of("output", OUTPUT.value) if OUTPUT.value else None)


def _evaluate_alone(workdir: Path, cache_dir: Path) -> NoReturn:
    """Ends the job; its leader goes on as the command that evaluates, on its own devices."""
    leads = runtime.is_leader()
    runtime.leave()
    if not leads:
        runtime.end(0)
    more = ["--mode=evaluate", f"--workdir={workdir}", f"--cache_dir={cache_dir}", "--any_network"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, str(Path(__file__).resolve()), *more])


def _run_folder(config: ConfigDict) -> Path:
    return command_line.path_of("workdir", WORKDIR.value or f"runs/{configs.run_name(config)}")


def _config_given() -> bool:
    return any(argument.startswith("--config") for argument in sys.argv[1:])


def _any_network() -> bool:
    """Whether a run's network may be any class: the user says so, or names the same config."""
    return ANY_NETWORK.value or _config_given()


def _config_of(workdir: Path) -> ConfigDict:
    """A run's own, whose network may be imported."""
    from pneumojax.run.folder import read_config, refuse_foreign_network

    config = read_config(workdir)
    if not ANY_NETWORK.value:
        refuse_foreign_network(config, workdir)
    return config


def _trained_runs() -> tuple[list[Path], Path | None]:
    """The run folders to use, and the folder that takes what comes of them.

    That is None where they have one: nothing is written beside the reference network alone.
    """
    workdirs = [command_line.path_of("workdir", name) for name in (WORKDIR.value or ".").split(",")]
    if not WORKDIR.value:
        if MODE.value == "evaluate" and FILMS.value is None:
            raise UserError(
                "--mode=evaluate needs --workdir=<run folder>, or --films=<folder> for the "
                "reference network on films of yours"
            )
        if not (REFERENCE / "config.json").exists():
            raise UserError(
                f"--mode={MODE.value} needs --workdir=<run folder>: the reference network, which "
                f"would be used without, is not in {str(REFERENCE)!r}"
            )
        workdirs = [REFERENCE]
    if _config_given():
        from pneumojax.run.folder import refuse_other_config

        for workdir in workdirs:
            refuse_other_config(workdir, configs.resolve(CONFIG.value))
    return workdirs, REFERENCE_RESULTS.resolve() if workdirs == [REFERENCE] else None


def _looked_into() -> tuple[ConfigDict, Path]:
    """The run of --workdir, whose config it is where none is given, or a new folder."""
    config = configs.resolve(CONFIG.value)
    # Never the same folder twice, so that a profile can be compared with the one before a change.
    default = f"runs/{configs.run_name(config)}-{MODE.value}-{time.strftime('%Y%m%d-%H%M%S')}"
    workdir = command_line.path_of("workdir", WORKDIR.value or default)
    if not _config_given() and (workdir / "config.json").exists():
        config = _config_of(workdir)
    return config, workdir


def _goes_on() -> str:
    """What comes of a run that was stopped."""
    goes_on = MODE.value in ("train", "crossvalidate") or (MODE.value == "predict" and OUTPUT.value)
    return "; the same command goes on from there" if goes_on else ""


def _fail(line: str) -> NoReturn:
    _end(f"error: {line}", 1)


def _end(line: str, status: int) -> NoReturn:
    # Names of a stranger's files and fields may hold codes that a terminal would follow.
    print(printable(line), file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        # Otherwise the interpreter would try the rest again at its end, and print a second message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if flags.FLAGS.is_parsed() and DISTRIBUTED.value:
        runtime.end(status)
    sys.exit(status)


def _parse(argv: list[str]) -> list[str]:
    logging.set_verbosity(logging.FATAL)  # of a config without a result it would warn as well
    try:
        return command_line.parse(argv)
    except UserError as error:
        _fail(str(error))


if __name__ == "__main__":
    runtime.tune_malloc()
    quiet()
    app.run(main, flags_parser=_parse)
