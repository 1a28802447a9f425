"""One child process: its start, its calls, its end, and the ways in which a call fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pneumojax.errors import UserError
from pneumojax.isolation import protocol
from pneumojax.isolation.protocol import DEFAULT, Limits, Message, Pipes

SENSELESS = "its decoder gave an answer that makes no sense"
SECONDS_TO_START = 120.0  # for a child's imports on a busy machine
_ROOT = Path(__file__).resolve().parents[2]
# -P keeps the current folder off the import path: a folder of films may hold a file `numpy.py`.
_COMMAND = ("-P", "-m", "pneumojax.isolation.worker")
_KEPT = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH")  # other environment variables may hold secrets


class Refused(Exception):
    """The task refused its file; the message is the reason."""


class WorkerLost(Exception):
    """A child process crashed, or took too long or too much memory; the message is the reason."""


class WorkerKilled(WorkerLost):
    """Something outside killed the child, as the system does when memory runs out."""


class WorkerTimeout(WorkerLost):
    """A call took too long by the clock, although within its limit of processor time."""


class Child:
    """One child process, used by one thread at a time."""

    def __init__(self, limits: Limits, tasks: Sequence[str]):
        try:
            self.process = subprocess.Popen(
                [sys.executable, *_COMMAND, json.dumps(limits), *tasks],
                env=_environment(),
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # so that the terminal's Ctrl-C goes to the parent alone
            )
        except OSError as error:
            raise UserError(
                f"the process that decodes films cannot be started: {error.strerror}"
            ) from error
        assert self.process.stdin is not None and self.process.stdout is not None
        self._pipes = Pipes(self.process.stdin, self.process.stdout)
        self._is_ready = False

    def ask(self, task: str, arguments: Mapping[str, Any], data: bytes, limits: Limits) -> Message:
        """Sends one request and reads its answer; raises as `Workers.call`."""
        self._wait_until_ready()
        header = protocol.encode_header(
            {"task": task, "arguments": dict(arguments), "bytes": len(data)}
        )
        deadline = time.monotonic() + limits.wall
        try:
            self._pipes.write(header, deadline)
            self._pipes.write(data, deadline)
            answer = self._pipes.read(deadline)
        except TimeoutError as error:
            raise WorkerTimeout(f"its decoder took longer than {limits.wall:g} s") from error
        except (EOFError, OSError) as error:
            raise self._reason(limits) from error
        except (protocol.ProtocolError, MemoryError) as error:
            raise WorkerLost(SENSELESS) from error
        if "lost" in answer.header:
            raise WorkerLost(protocol.one_line(answer.header["lost"]))
        if "refused" in answer.header:
            raise Refused(protocol.one_line(answer.header["refused"]))
        if not isinstance(answer.header.get("values"), dict):
            raise WorkerLost(SENSELESS)
        return answer

    def kill(self) -> None:
        """Kills the process, if it lives, and waits for it. Any thread may call this."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kills the process and closes its pipes. Only the thread that uses it may call this.

        If another thread still waited for a pipe, the system could give the pipe's number to a new
        file.
        """
        self.kill()
        self._pipes.close()

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        try:
            self._is_ready = bool(self._pipes.read(time.monotonic() + SECONDS_TO_START).header)
        except (TimeoutError, EOFError, OSError, protocol.ProtocolError) as error:
            raise UserError(
                "the process that decodes films cannot be started; try "
                f"`{sys.executable} -m pneumojax.isolation.worker '{json.dumps(DEFAULT)}' film`"
            ) from error

    def _reason(self, limits: Limits) -> WorkerLost:
        """The reason why the child has ended."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return WorkerLost("its decoder stopped answering")
        if status == -signal.SIGXCPU:
            return WorkerLost(f"its decoder took more than {limits.cpu:g} s of processor time")
        if status == -signal.SIGKILL:  # a decoder's own fault never ends in this signal
            return WorkerKilled("the process that decoded it was killed")
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return WorkerLost(f"its decoder crashed ({how})")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    folders = [str(_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return {**kept, **one_thread, "PYTHONPATH": os.pathsep.join(folders)}
