"""Finishes the shards of a job on Apache Beam, in processes of this machine or on a cluster."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass

from pneumojax.beam.job import Job, WorkerLost
from pneumojax.errors import UserError
from pneumojax.terminal import say

_MOST_IDLE_LOSSES = 3  # runs in a row that lose a worker before they finish a shard


@dataclass(frozen=True)
class Engine:
    """Apache Beam.

    workers: processes of this machine, which are used if the options name no runner.
    options: options of Beam, such as "--runner=FlinkRunner".
    """

    workers: int = 1
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if importlib.util.find_spec("apache_beam") is None:
            raise UserError(
                "beam-ingest and beam-predict need the package apache-beam: install "
                "requirements-beam.txt, or the extra [beam], into an environment of its own"
            )

        if self.options and self._is_local:
            raise UserError(
                "the options name no --runner; name one, or use --workers for this machine",
                flag="beam_options",
            )

    @property
    def decoders(self) -> int:
        # A cluster starts a worker for each core.
        return max(1, (os.cpu_count() or 1) // self.workers) if self._is_local else 1

    @property
    def _is_local(self) -> bool:
        return not any(option.partition("=")[0] == "--runner" for option in self.options)

    def run(self, shards: Sequence[str], job: Job) -> None:
        """Finishes the shards that are not finished.

        If a worker of this machine is killed, the shards that are left are run again. A cluster
        does that by itself.

        Raises:
            UserError: a worker raised it, or workers are killed again and again.
        """
        left = [shard for shard in shards if not job.is_finished(shard)]
        if len(left) < len(shards):
            say(f"continuing: {len(shards) - len(left):,} of {len(shards):,} shards are finished")
        losses = 0
        while left:
            try:
                self._run_once(left, job)
                return
            except WorkerLost:
                before, left = left, [shard for shard in left if not job.is_finished(shard)]
            losses = losses + 1 if left == before else 0
            if losses == _MOST_IDLE_LOSSES:
                raise UserError(
                    f"workers were killed {losses} times without finishing a shard: the machine "
                    "may be out of memory; use fewer workers or smaller shards"
                )
            say(f"a worker was killed; {len(left):,} shards are left and are run again")

    def _run_once(self, shards: Sequence[str], job: Job) -> None:
        from pneumojax.beam.pipeline import run_locally, run_pipeline

        if self._is_local:
            run_locally(shards, job, self.workers)
        else:
            run_pipeline(shards, job, self.options)
