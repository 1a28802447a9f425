"""Keeps the output of tasks out of the programs that call them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from pneumojax.terminal import silent


@contextmanager
def quiet(*, progress: bool = False) -> Iterator[None]:
    """A block that prints nothing, or with `progress` what the command line prints.

    absl's logger is silenced as well, because Orbax warns through it each time that a network is
    opened. Failures are not hidden by this: they are raised as exceptions too.
    """
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.CRITICAL)
    try:
        with nullcontext() if progress else silent():
            yield
    finally:
        absl.setLevel(level)
