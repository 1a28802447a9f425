"""Ends training after a save when a signal asks for it."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from jax.experimental import multihost_utils

from pneumojax import runtime, signals


class StopRequest:
    """A context manager that notes the first SIGINT or SIGTERM; a second ends the process at once.

    In threads other than the main one it does nothing, because Python delivers no signals to them.

    In a job of several processes JAX handles SIGTERM: whichever process receives it, all stop after
    the same step. SIGINT ends its process, and thereby the job.

    A signal that came too late to stop at any step is raised again at the end.
    """

    def __init__(self) -> None:
        self._received = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and not runtime.is_multiprocess():
            self._previous = {
                number: signal.signal(number, self._note) for number in signals.SIGNALS
            }
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self._received and error is None:
            signal.raise_signal(self._received)

    @property
    def received(self) -> int:
        """The number of a signal that has arrived in this process, or 0."""
        return self._received

    def reached(self, call: int) -> int:
        """The number of the signal that makes this call the last one, or 0.

        Calls are counted by the same numbers in all processes, without leaving one out: JAX makes
        the processes agree on the number of one that all of them will make.
        """
        if runtime.is_multiprocess() and multihost_utils.reached_preemption_sync_point(call):
            return signal.SIGTERM
        return self._received

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            # An exception could be raised within a save, whose clean-up would delay the end.
            os._exit(128 + number)
        self._received = number
        name = signal.Signals(number).name
        end = "saving after this step, and after validation if its epoch ends"
        print(f"\n{name}: {end}; once more ends at once", flush=True)
