"""A job that is divided into shards, and the program that runs it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class WorkerLost(Exception):
    """A worker of this machine was killed."""


class Job(Protocol):
    """Work that is divided into shards, each of which has a name. Workers get a pickled copy."""

    def is_finished(self, shard: str) -> bool:
        """Whether the result of a shard is whole, so that it need not be computed again."""

    def opened(self) -> AbstractContextManager[Callable[[str], None]]:
        """A block of a worker, in which the function that it gives finishes a shard by its name."""


class Runner(Protocol):
    """Finishes the shards of a job.

    decoders: the child processes of each worker that decode films.
    """

    @property
    def decoders(self) -> int: ...

    def run(self, shards: Sequence[str], job: Job) -> None:
        """Finishes the shards that are not finished; raises UserError if that fails."""
