"""The program: parses the command line, runs a verb, and ends with one line if that fails."""

import errno
import faulthandler
import io
import os
import sys
from collections.abc import Sequence
from logging import CRITICAL, getLogger
from typing import NoReturn

from absl import logging

from pneumojax import runtime, signals
from pneumojax.cli import commands
from pneumojax.cli.help import help_of, overview, version
from pneumojax.cli.parsing import Command, parse
from pneumojax.cli.verbs import VERBS, refuse_unread
from pneumojax.errors import Stopped, UserError
from pneumojax.files import printable

# The system's errors when there is no space to write, or nobody reads the output any more.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE)
_HELP = frozenset(("--help", "-help", "-h", "-?", "--helpfull", "--helpshort"))


def main(argv: Sequence[str]) -> None:
    """Runs a command line, without the program's name; ends the process unless it succeeds."""
    _prepare_output()
    command = None
    try:
        if text := answer(argv):
            print(text)
            return
        command = parse(argv, tuple(VERBS))
        signals.raise_stopped()
        _run(command)
        sys.stdout.flush()  # a full disk fails here and not when the interpreter ends
    except UserError as error:
        _fail(f"--{error.flag}: {error}" if error.flag else str(error), command)
    except Stopped as stopped:
        _end(f"{stopped}{_resumes(command)}", stopped.status, command)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            name = error.filename or "the output"
            _fail(f"cannot write {name}: {error.strerror}{_resumes(command)}", command)
        if command and command.options.distributed and runtime.is_of_another_process(error):
            lost = "another process of this job has ended, or cannot be reached"
            _fail(f"{lost}{_resumes(command)}", command)
        raise
    finally:
        signals.end_quietly()


def answer(argv: Sequence[str]) -> str | None:
    """The text of --help or --version; None if neither was asked for and there is a command."""
    if not argv:
        return overview()
    flags = argv[: argv.index("--")] if "--" in argv else argv
    if "--version" in flags:
        return version()
    if not _HELP.intersection(flags):
        return None
    modes = [flag.partition("=")[2] for flag in flags if flag.startswith("--mode=")]
    named = [name for name in (*modes, *flags) if name in VERBS]
    return help_of(named[0]) if named else overview()


def _prepare_output() -> None:
    faulthandler.enable()
    logging.use_absl_handler()
    # Orbax logs every file, and its threads log a full disk with a traceback each. Failures are
    # not hidden by this: they are raised as exceptions too.
    logging.set_verbosity(logging.FATAL)
    for name in ("asyncio", "concurrent.futures"):
        getLogger(name).setLevel(CRITICAL)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may hold bytes that are not text
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(command: Command) -> None:
    refuse_unread(command)
    options = command.options
    runtime.prepare(commands.cache_dir_of(command), deterministic=options.deterministic)
    if options.print_config:
        commands.print_config(command)
        return
    if options.distributed:
        runtime.join(options.coordinator, options.processes, options.process)
    VERBS[command.verb].run(command)


def _resumes(command: Command | None) -> str:
    """The last part of an error message if the same command can resume the work, else ""."""
    if command is None:
        return ""
    resumes = command.verb in ("train", "crossvalidate", "tune", "beam-ingest", "beam-predict")
    resumes = resumes or (command.verb == "predict" and command.options.output is not None)
    return "; the same command goes on from there" if resumes else ""


def _fail(line: str, command: Command | None) -> NoReturn:
    _end(f"error: {line}", 1, command)


def _end(line: str, status: int, command: Command | None) -> NoReturn:
    # Names of a stranger's files and fields may hold codes that a terminal would follow.
    print(printable(line), file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        # Otherwise the interpreter would flush again at its end, and print a second message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if command and command.options.distributed:
        runtime.end(status)
    sys.exit(status)
