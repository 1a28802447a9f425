"""Keeps the output of tasks out of the programs that call them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from pneumojax.terminal import silent


@contextmanager
def quiet(*, progress: bool = False) -> Iterator[None]:
    """A block that prints nothing, or with `progress` what the command line prints.

    Orbax warns through absl's logger of every read-only checkpoint, which is how a network is
    opened. Whatever concerns the run arrives as an exception as well.
    """
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.CRITICAL)
    try:
        with nullcontext() if progress else silent():
            yield
    finally:
        absl.setLevel(level)
