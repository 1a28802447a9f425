"""The limits of child processes."""

from typing import NamedTuple


class Limits(NamedTuple):
    """The most that one child process, or one call of it, may take.

    memory: bytes of address space of the process; the largest accepted film takes 1.6 GB.
    cpu: seconds of processor time for one call.
    wall: seconds from the beginning of a call to its end.
    files: open files of the process.
    """

    memory: int = 4 << 30
    cpu: float = 60.0
    wall: float = 90.0
    files: int = 64


DEFAULT = Limits()
