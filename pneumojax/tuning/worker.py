"""The process that trains the trials of a study, one after another.

It is a process of its own because a crash or a lack of memory would end the study otherwise. It is
kept from trial to trial because its start takes seconds.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pneumojax.errors import Stopped, UserError

_SECONDS_TO_SAVE = 120.0  # within which a training that was asked to stop has to end
_CRASHED = "its process crashed"


@dataclass(frozen=True)
class Task:
    """A trial to train.

    config: the content of a config.json.
    log: the file that gets the output of the training.
    evaluates: whether the run is evaluated on its validation films after training.
    """

    config: dict[str, Any]
    run: Path
    log: Path
    cache_dir: Path
    download: bool
    evaluates: bool


class TrialProcess:
    """The child process, which is started when the first trial needs it.

    `answer` holds the result of the latest trial: "" for success, otherwise the reason why it
    failed; None while it is trained.
    """

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Connection | None = None
        self.answer: str | None = None

    def begin(self, task: Task) -> None:
        """Starts a trial; the one before it has been answered."""
        if self._process is None or not self._process.is_alive():
            self.close()
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()  # so that the pipe ends with the process
        assert self._pipe is not None
        self.answer = None
        try:
            self._pipe.send(task)
        except OSError:
            self.answer = self._reason()

    def wait(self, seconds: float) -> bool:
        """Waits for an answer, at most so long; returns whether it has come."""
        assert self._pipe is not None
        if self.answer is None and self._pipe.poll(seconds):
            try:
                self.answer = self._pipe.recv()
            except (EOFError, OSError):
                self.answer = self._reason()
        return self.answer is not None

    def stop(self) -> None:
        """Ends the current trial after its next step, which is saved."""
        if self._process is None or self.answer is not None:
            return
        self._process.terminate()
        if not self.wait(_SECONDS_TO_SAVE):
            self.close()
            self.answer = _CRASHED

    def close(self) -> None:
        """Ends the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _reason(self) -> str:
        self._process.join()
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"{_CRASHED}: it ended by {signal.Signals(-code).name}"
        return f"{_CRASHED}: it ended with status {code}"


def _serve(pipe: Connection) -> None:
    """The program of the child: trains each task that the pipe brings, and sends its result."""
    os.setsid()  # Ctrl-C goes to the parent alone, which asks for a save
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(_result_of(task))


def _end_with_parent() -> None:
    """Ends this process when the parent has ended, however that came about.

    A training that went on would hold the run folder that the resumed study needs.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _result_of(task: Task) -> str:
    """Trains one trial with its output in its log; returns "" or the reason of a failure."""
    with open(task.log, "a") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    try:
        _train(task)
        return ""
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return str(error)
    except Stopped as stopped:
        return str(stopped)
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _train(task: Task) -> None:
    import jax

    from pneumojax.api.quiet import quiet
    from pneumojax.api.training import evaluate_trained
    from pneumojax.run.stored_config import completed
    from pneumojax.training.loop import train

    config = completed(task.config)
    try:
        with quiet(progress=True):
            train(config, task.run, task.cache_dir, download=task.download)
            done = (task.run / "evaluation" / "val" / "metrics.json").exists()
            if task.evaluates and not done:
                evaluate_trained(config, task.run, task.cache_dir)
    finally:
        jax.clear_caches()  # the next trial compiles other steps, and these would stay in memory
