"""Ends a command by an exception where its user or the machine asks for it by a signal."""

import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from pneumojax.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Modules that take an exception for a damaged cache and go on, or that C and C++ call where one is
# ignored or ends everything with a page of text: imports and what happens to dead objects too.
_NOT_WITHIN = frozenset({"jax", "orbax", "tensorflow", "importlib", "weakref", "_weakrefset"})
_asked_by = 0


def raise_stopped() -> None:
    """From now on the first SIGINT or SIGTERM raises Stopped; a second ends the process at once.

    Where one comes within a library that is not ready for it, or an import, it is raised when that
    has returned.
    """
    for number in SIGNALS:
        signal.signal(number, _asked)


def end_quietly() -> None:
    """From now on a signal ends the process without a word: nothing is left to do or to say."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _asked(number: int, frame: FrameType | None) -> None:
    global _asked_by
    if _asked_by:
        os._exit(128 + number)
    _asked_by = number
    name = signal.Signals(number).name
    stopped = Stopped(number, f"ended by {name}")

    def raising(frame: FrameType, event: str, argument: Any) -> NoReturn:
        sys.settrace(None)
        raise stopped

    caller = _caller(frame)
    if caller is None:
        raise stopped
    print(f"\n{name}: ending as soon as possible; once more ends at once", flush=True)
    # A frame is traced by a function of its own, at its next line, only while there is one for all.
    caller.f_trace = raising
    sys.settrace(lambda *_: None)


def _caller(frame: FrameType | None) -> FrameType | None:
    """The frame below which a raise has to wait, or None if it has not."""
    caller = None
    while frame:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package in _NOT_WITHIN or frame.f_code.co_name == "__del__":
            caller = frame.f_back
        frame = frame.f_back
    return caller
