"""One child process, the pipes to it, and the reasons why it may be lost."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pneumojax.errors import UserError
from pneumojax.isolation import protocol

SECONDS_TO_START = 120.0  # for a child's imports on a busy machine
_ROOT = Path(__file__).resolve().parents[2]
# -P: a folder of films may hold a file `numpy.py`, and the current folder is not to be imported.
_COMMAND = ("-P", "-m", "pneumojax.isolation.worker")
_KEPT = ("PATH", "LANG", "TZ", "LD_LIBRARY_PATH")  # of the environment; the rest may hold secrets
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which `fcntl` names on Linux alone
_SENSELESS = "its decoder gave an answer that makes no sense"


class Limits(NamedTuple):
    """The most that one child process, or one call of it, may take.

    memory: bytes of address space of the process. The largest film that is read takes 1.6 GB.
    cpu: seconds of processor time for one call.
    wall: seconds from the beginning of a call to its end.
    files: open files of the process.
    """

    memory: int = 4 << 30
    cpu: float = 60.0
    wall: float = 90.0
    files: int = 64


DEFAULT = Limits()


class WorkerLost(Exception):
    """A child process crashed, took too long or too much memory; the text is one short reason."""


class WorkerKilled(WorkerLost):
    """Something outside ended the child, as the system does when memory runs out."""


class WorkerTimeout(WorkerLost):
    """A call took too long by the clock, with less processor time than it may take."""


class Refused(Exception):
    """The task refused its file; the text is the reason."""


class Answer(NamedTuple):
    header: dict[str, Any]
    arrays: list[np.ndarray]


class Child:
    """One child process and the two pipes to it, used by one thread at a time."""

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
        self._requests, self._answers = self.process.stdin.fileno(), self.process.stdout.fileno()
        for descriptor in (self._requests, self._answers):
            os.set_blocking(descriptor, False)
            _enlarge(descriptor)
        self._is_ready = False

    def ask(self, task: str, arguments: Mapping[str, Any], data: bytes, limits: Limits) -> Answer:
        """Sends one request and reads its answer; see `Workers.call` for what it raises."""
        self._wait_until_ready()
        header = protocol.encode_header(
            {"task": task, "arguments": dict(arguments), "bytes": len(data)}
        )
        deadline = time.monotonic() + limits.wall
        try:
            self._write(header, deadline)
            self._write(data, deadline)
            answer = self._read_answer(deadline)
        except TimeoutError as error:
            raise WorkerTimeout(f"its decoder took longer than {limits.wall:g} s") from error
        except (EOFError, OSError) as error:
            raise self._reason(limits) from error
        except (protocol.ProtocolError, MemoryError) as error:
            raise WorkerLost(_SENSELESS) from error
        if "lost" in answer.header:
            raise WorkerLost(protocol.one_line(answer.header["lost"]))
        if "refused" in answer.header:
            raise Refused(protocol.one_line(answer.header["refused"]))
        if not isinstance(answer.header.get("values"), dict):
            raise WorkerLost(_SENSELESS)
        return answer

    def kill(self) -> None:
        """Kills the process, if it lives, and waits for it; safe while another thread asks it."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kills the process and closes its pipes, for the one thread that uses it.

        While a thread still waits for a pipe, its number must not be given to another file.
        """
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        try:
            self._is_ready = bool(self._read_answer(time.monotonic() + SECONDS_TO_START).header)
        except (TimeoutError, EOFError, OSError, protocol.ProtocolError) as error:
            raise UserError(
                "the process that decodes films cannot be started; try "
                f"`{sys.executable} -m pneumojax.isolation.worker '{json.dumps(DEFAULT)}' film`"
            ) from error

    def _reason(self, limits: Limits) -> WorkerLost:
        """Why the child has ended, in a few words."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return WorkerLost("its decoder stopped answering")
        if status == -signal.SIGXCPU:
            return WorkerLost(f"its decoder took more than {limits.cpu:g} s of processor time")
        if status == -signal.SIGKILL:  # no fault of a decoder ends in this signal
            return WorkerKilled("the process that decoded it was killed")
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return WorkerLost(f"its decoder crashed ({how})")

    def _read_answer(self, deadline: float) -> Answer:
        length = bytearray(protocol.LENGTH.size)
        self._read(memoryview(length), deadline)
        (size,) = protocol.LENGTH.unpack(length)
        if size > protocol.LONGEST_HEADER:
            raise protocol.ProtocolError("a header is too long")
        text = bytearray(size)
        self._read(memoryview(text), deadline)
        header = protocol.decode_header(text)
        arrays = []
        for dtype, shape in protocol.array_headers(header.get("arrays", [])):
            arrays.append(np.empty(shape, dtype))
            if arrays[-1].size:
                self._read(memoryview(arrays[-1].reshape(-1)).cast("B"), deadline)
        return Answer(header, arrays)

    def _read(self, into: memoryview, deadline: float) -> None:
        while into:
            try:
                count = os.readv(self._answers, [into])
            except BlockingIOError:
                _wait(self._answers, select.POLLIN, deadline)
                continue
            if not count:
                raise EOFError
            into = into[count:]

    def _write(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._requests, left) :]
            except BlockingIOError:
                _wait(self._requests, select.POLLOUT, deadline)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    folders = [str(_ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    return {**kept, **one_thread, "PYTHONPATH": os.pathsep.join(folders)}


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Waits until a pipe can be used; raises TimeoutError at the deadline."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
        raise TimeoutError


def _enlarge(descriptor: int) -> None:
    """A pipe of 1 MB in place of 64 kB: a film goes through in a few writes."""
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(descriptor, _SET_PIPE_SIZE, _PIPE_BYTES)
        except OSError:  # more than an unprivileged user may have in all pipes
            return
