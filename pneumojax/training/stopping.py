"""Ends training after a save where its user or the machine asks for it by a signal."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from jax.experimental import multihost_utils

from pneumojax import runtime, signals


class StopRequest:
    """Takes note of the first SIGINT or SIGTERM; a second one ends the process at once.

    A context manager, without effect in threads other than the main one, which get no signals. In
    a job of several processes JAX takes note of SIGTERM, whichever process it comes to, and has
    all of them stop after the same step; SIGINT ends its process, and thereby the job.
    One that came too late for any step to be the last is sent again at the end.
    """

    def __init__(self) -> None:
        self._by = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread() and not runtime.is_multiprocess():
            self._before = {number: signal.signal(number, self._note) for number in signals.SIGNALS}
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._by and error is None:
            signal.raise_signal(self._by)

    def reached(self, step: int) -> int:
        """Number of the signal after which this step is to be the last, 0 if none has come."""
        if runtime.is_multiprocess() and multihost_utils.reached_preemption_sync_point(step):
            return signal.SIGTERM
        return self._by

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._by:
            # Not an exception: it could surface within a save, whose clean-up would take its time.
            os._exit(128 + number)
        self._by = number
        name = signal.Signals(number).name
        print(f"\n{name}: saving after this step; once more ends at once", flush=True)
