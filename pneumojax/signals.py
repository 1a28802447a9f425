"""Ends a command by an exception when a signal asks for it."""

import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from pneumojax.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Code in which no exception may be raised. Some of these modules would take it for a damaged cache
# and go on. In the others it would be ignored, or would print a traceback: they are called from C
# or C++, import a module or clean up a dead object.
_NOT_WITHIN = frozenset({"jax", "orbax", "tensorflow", "importlib", "weakref", "_weakrefset"})
_received = 0


def raise_stopped() -> None:
    """From now on the first SIGINT or SIGTERM raises Stopped; a second ends the process at once.

    If the signal arrives within an import, or within a library that could not handle the exception,
    it is raised after that call has returned.
    """
    for number in SIGNALS:
        signal.signal(number, _handle)


def end_quietly() -> None:
    """From now on a signal ends the process without a message; call it when all work is done."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _handle(number: int, frame: FrameType | None) -> None:
    global _received
    if _received:
        os._exit(128 + number)
    _received = number
    name = signal.Signals(number).name
    stopped = Stopped(number, f"ended by {name}")

    def raising(frame: FrameType, event: str, argument: Any) -> NoReturn:
        sys.settrace(None)
        raise stopped

    caller = _caller(frame)
    if caller is None:
        raise stopped
    print(f"\n{name}: ending as soon as possible; once more ends at once", flush=True)
    # The frame's own trace function runs at its next line, but only while a global one is set.
    caller.f_trace = raising
    sys.settrace(lambda *_: None)


def _caller(frame: FrameType | None) -> FrameType | None:
    """The frame that must be reached again before an exception is raised; None if it may be now."""
    caller = None
    while frame:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package in _NOT_WITHIN or frame.f_code.co_name == "__del__":
            caller = frame.f_back
        frame = frame.f_back
    return caller
