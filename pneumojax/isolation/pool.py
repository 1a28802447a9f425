"""A small pool of child processes that run tasks for any number of threads."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from pneumojax.errors import UserError
from pneumojax.isolation import protocol

SECONDS_TO_START = 120.0  # for a child's imports on a busy machine
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which `fcntl` names on Linux alone
_ROOT = Path(__file__).resolve().parents[2]


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


class Refused(Exception):
    """The task refused its file; the text is the reason."""


class Workers:
    """Child processes that run tasks of `tasks.py`, each under limits. Safe for threads.

    A context manager; children end with it, and by themselves if this process is killed.

    Args:
        count: the number of child processes.
        limits: what each may take.
        tasks: names of tasks that children import before their first call.
    """

    def __init__(self, count: int, limits: Limits = DEFAULT, *, tasks: Sequence[str] = ()):
        self._limits = limits
        self._tasks = tuple(tasks)
        self._turn = threading.Semaphore(count)
        self._lock = threading.Lock()
        self._closed = False
        self._all: set[_Child] = set()
        self._idle: list[_Child] = []
        for _ in range(count):  # at once, so that they import while the caller does other things
            self._idle.append(self._start())

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(
        self, task: str, arguments: Mapping[str, Any], data: bytes
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Runs a task on the bytes of a file, and waits for a free child and for its answer.

        Returns:
            The JSON values and the arrays that the task returned.

        Raises:
            Refused: the task refused the file.
            WorkerLost: the child ended, or took too long or too much memory. The next call gets
                another one.
            UserError: no child process can be started.
        """
        with self._turn:
            child = self._free_child()
            try:
                answer = child.ask(task, arguments, data, self._limits)
            except BaseException:
                self._drop(child)
                raise
            with self._lock:
                if not self._closed:
                    self._idle.append(child)
        if "refused" in answer.header:
            raise Refused(str(answer.header["refused"]))
        return answer.header["values"], answer.arrays

    def close(self) -> None:
        """Ends all children; a call that is still waiting raises WorkerLost."""
        with self._lock:
            self._closed = True
            children, self._idle = list(self._all), []
        for child in children:
            child.end()
        with self._lock:
            self._all.clear()

    @property
    def processes(self) -> list[int]:
        """The process numbers of the children."""
        with self._lock:
            return [child.process.pid for child in self._all]

    def _start(self) -> "_Child":
        child = _Child(self._limits, self._tasks)
        with self._lock:
            if self._closed:
                child.end()
                raise WorkerLost("the pool was closed")
            self._all.add(child)
        return child

    def _free_child(self) -> "_Child":
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is not None and child.process.poll() is None:
            return child
        if child is not None:  # it was killed while it waited for work
            self._drop(child)
        return self._start()

    def _drop(self, child: "_Child") -> None:
        child.end()
        with self._lock:
            self._all.discard(child)


class _Answer(NamedTuple):
    header: dict[str, Any]
    arrays: list[np.ndarray]


class _Child:
    """One child process and the two pipes to it, used by one thread at a time."""

    def __init__(self, limits: Limits, tasks: Sequence[str]):
        command = [sys.executable, "-m", "pneumojax.isolation.worker", json.dumps(limits), *tasks]
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        self.process = subprocess.Popen(
            command,
            env={**kept, "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._requests, self._answers = self.process.stdin.fileno(), self.process.stdout.fileno()
        for descriptor in (self._requests, self._answers):
            os.set_blocking(descriptor, False)
            _enlarge(descriptor)
        self._is_ready = False

    def ask(self, task: str, arguments: Mapping[str, Any], data: bytes, limits: Limits) -> _Answer:
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
            raise WorkerLost(f"its decoder took longer than {limits.wall:g} s") from error
        except (EOFError, OSError) as error:
            raise WorkerLost(self._last_words(limits)) from error
        except protocol.ProtocolError as error:
            raise WorkerLost("its decoder gave an answer that makes no sense") from error
        if "lost" in answer.header:
            raise WorkerLost(str(answer.header["lost"])[:200])
        if not isinstance(answer.header.get("values"), dict) and "refused" not in answer.header:
            raise WorkerLost("its decoder gave an answer that makes no sense")
        return answer

    def end(self) -> None:
        """Kills the process, if it lives, and waits for it."""
        self.process.kill()
        self.process.wait()
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

    def _last_words(self, limits: Limits) -> str:
        """Why a child has ended, in a few words."""
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "its decoder stopped answering"
        if status == -24:  # SIGXCPU
            return f"its decoder took more than {limits.cpu:g} s of processor time"
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"its decoder crashed ({how})"

    def _read_answer(self, deadline: float) -> _Answer:
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
        return _Answer(header, arrays)

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
