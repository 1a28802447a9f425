"""A small pool of child processes that run tasks for any number of threads."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from pneumojax.isolation.child import Child, Refused, WorkerKilled, WorkerLost
from pneumojax.isolation.protocol import DEFAULT, Limits, Message

_CLOSED = "the pool of processes was closed"


class Workers(AbstractContextManager["Workers"]):
    """Child processes that run tasks of `tasks.py`, each under limits. Safe for threads.

    As a context manager it ends the children. If this process is killed, they end by themselves.
    Children import `tasks` before their first call.
    """

    def __init__(self, count: int, limits: Limits = DEFAULT, *, tasks: Sequence[str] = ()):
        self._limits = limits
        self._tasks = tuple(tasks)
        self._turn = threading.Semaphore(count)
        self._lock = threading.Lock()
        self._closed = False
        self._all: set[Child] = set()
        self._idle: list[Child] = []
        try:
            for _ in range(count):  # children import while the caller does other things
                self._idle.append(self._start())
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exception: object) -> None:
        self.close()

    def call(
        self, task: str, arguments: Mapping[str, Any], data: bytes
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Runs a task on the bytes of a file, and returns its JSON values and arrays.

        If something outside kills the child, which says nothing about the file, the task is run
        once more.

        Raises:
            Refused: the task refused the file.
            WorkerLost: the child ended, or took too long or too much memory, or the pool was
                closed. The next call gets another child.
            UserError: no child process can be started.
        """
        with self._turn:
            try:
                answer = self._ask(task, arguments, data)
            except WorkerKilled:
                answer = self._ask(task, arguments, data)
        return answer.header["values"], answer.arrays

    def close(self) -> None:
        """Ends all children; calls that still wait raise WorkerLost."""
        with self._lock:
            self._closed = True
            children, idle = list(self._all), self._idle
            self._idle = []
        for child in children:
            child.kill()
        for child in idle:  # the threads that use the other children drop them
            self._drop(child)

    def _ask(self, task: str, arguments: Mapping[str, Any], data: bytes) -> Message:
        child = self._free_child()
        try:
            answer = child.ask(task, arguments, data, self._limits)
        except Refused:
            self._give_back(child)
            raise
        except WorkerLost:
            self._drop(child)
            self._refuse_if_closed()
            raise
        except BaseException:  # such as Ctrl-C, which leaves a part of the answer unread
            self._drop(child)
            raise
        self._give_back(child)
        return answer

    def _start(self) -> Child:
        child = Child(self._limits, self._tasks)
        with self._lock:
            if not self._closed:
                self._all.add(child)
                return child
        child.end()
        raise WorkerLost(_CLOSED)

    def _free_child(self) -> Child:
        self._refuse_if_closed()
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is not None and child.process.poll() is None:
            return child
        if child is not None:  # it was killed while idle
            self._drop(child)
        return self._start()

    def _give_back(self, child: Child) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(child)
                return
        self._drop(child)

    def _drop(self, child: Child) -> None:
        child.end()
        with self._lock:
            self._all.discard(child)

    def _refuse_if_closed(self) -> None:
        with self._lock:
            if self._closed:
                raise WorkerLost(_CLOSED)
