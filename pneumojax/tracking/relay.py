"""Passes a run's figures to a tracker in a child process, without ever waiting for it.

A library such as MLflow's takes seconds to import, holds Python's lock, and may wait minutes for a
server. In a process of its own it cannot delay a step, and the process can be killed in time.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from pneumojax.shipped import python_path
from pneumojax.terminal import say
from pneumojax.tracking.messages import (
    Begin,
    End,
    Keep,
    Records,
    Request,
    encode_request,
)
from pneumojax.tracking.tracker import Outcome, Record

MOST_WAITING = 10_000  # records, some 10 MB
_RECORDS_IN_A_REQUEST = 50
_SECONDS_AFTER_KILLING = 5.0  # for the thread to notice that its child process has gone
# -P keeps the current folder off the import path: a folder of films may hold a file `wandb.py`.
_COMMAND = (sys.executable, "-P", "-m", "pneumojax.tracking.worker")
# Unless the user's environment says otherwise, MLflow waits 120 seconds for each answer, asks again
# seven times, and reports its use to its makers.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class _Broken(Exception):
    """The child process failed or ended; the message is the reason."""


class Relay:
    """A tracker whose work is done in a child process, which a thread feeds from a queue.

    Records are dropped while the queue is full. The first thing that goes wrong is printed, at the
    next `flush` or `wait`, and the run goes on.
    """

    def __init__(self, begin: Begin):
        self._name = begin.tracker
        self._waiting: queue.Queue[Record | Keep | End] = queue.Queue()
        self._trouble = ""  # either thread sets it; only the main thread prints it
        self._has_told = False
        self._is_broken = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._pass_on, args=(begin,), daemon=True)
        self._thread.start()

    def write(self, record: Record) -> None:
        if self._is_broken.is_set():
            return
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(record)
        else:
            self._trouble = self._trouble or "it is too slow, so it misses some figures"

    def keep(self, name: str, paths: Sequence[Path]) -> None:
        self._waiting.put(Keep(name, tuple(paths)))

    def flush(self) -> None:
        """Prints the first trouble, if there is any; does not wait for the queue."""
        if self._trouble and not self._has_told:
            self._has_told = True
            say(
                f"warning: {self._name}: {self._trouble}. The run goes on, and metrics.jsonl has "
                "every figure"
            )

    def end(self, outcome: Outcome) -> None:
        """Asks the child process to finish; call `wait` afterwards."""
        self._waiting.put(End(outcome))

    def wait(self, seconds: float) -> None:
        """Waits until the child process has finished, and kills it if it takes longer."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            late = "it did not take everything in time (config.log.tracker_seconds)"
            self._trouble = self._trouble or late
            self.kill()
        self.flush()

    def kill(self) -> None:
        if self._process:
            self._process.kill()
        self._thread.join(_SECONDS_AFTER_KILLING)

    def _pass_on(self, begin: Begin) -> None:
        """Sends requests until the last one; runs in the thread."""
        try:
            with _started() as self._process:
                try:
                    self._ask(begin)
                    while True:
                        for request in self._next_requests():
                            self._ask(request)
                            if isinstance(request, End):
                                return
                except _Broken as error:
                    self._trouble = self._trouble or f"tracking has ended ({error})"
                finally:
                    self._is_broken.set()
                    self._process.kill()
        except OSError as error:  # it cannot be started, or its pipe breaks when it is closed
            self._trouble = self._trouble or f"tracking has ended ({error.strerror})"
            self._is_broken.set()

    def _next_requests(self) -> list[Request]:
        """Waits for something to send; records that have come together are one request."""
        items = [self._waiting.get()]
        while len(items) < _RECORDS_IN_A_REQUEST and not self._waiting.empty():
            items.append(self._waiting.get())
        records = tuple(item for item in items if isinstance(item, Record))
        others = [item for item in items if not isinstance(item, Record)]
        return [*([Records(records)] if records else []), *others]

    def _ask(self, request: Request) -> None:
        """Sends a request and waits for its answer."""
        assert self._process and self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(encode_request(request))
            self._process.stdin.flush()
        except OSError as error:
            raise _Broken("its process has ended") from error
        line = self._process.stdout.readline()
        if not line:
            raise _Broken("its process has ended")
        if "error" in (answer := json.loads(line)):
            raise _Broken(answer["error"])


def _started() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        _COMMAND,
        env=_SETTINGS | os.environ | {"PYTHONPATH": python_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # so that the terminal's Ctrl-C goes to the training process alone
    )
