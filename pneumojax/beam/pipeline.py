"""The pipeline of Apache Beam that finishes the shards of a job. Only this module imports Beam."""

import contextlib
import logging
import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import apache_beam as beam
from absl import logging as absl_logging
from apache_beam.options.pipeline_options import PipelineOptions

from pneumojax.beam.job import Job, WorkerLost
from pneumojax.data.tensorflow_import import quiet
from pneumojax.errors import UserError
from pneumojax.shipped import python_path

# Beam's DirectRunner would try to download another runner, Prism, before it uses this one.
_LOCAL_RUNNER = "FnApiRunner"
_LOST = "Worker subprocess exited"  # begins the message of Beam's thread that watches a worker
_USER_ERROR = re.compile(r"pneumojax\.errors\.UserError: (.*?)(?: \[while running|\\n|\n|$)")


class _FinishShard(beam.DoFn):
    """Finishes shards by their names. The job is opened once by each worker."""

    def __init__(self, job: Job):
        self._job = job

    def setup(self) -> None:
        # Orbax would log every file that it reads. The command line turns that off too.
        absl_logging.set_verbosity(absl_logging.FATAL)
        quiet()
        self._opened = contextlib.ExitStack()
        self._finish = self._opened.enter_context(self._job.opened())

    def process(self, shard: str) -> None:
        if not self._job.is_finished(shard):  # a cluster may give a shard to several workers
            self._finish(shard)

    def teardown(self) -> None:
        self._opened.close()


def run_locally(shards: Sequence[str], job: Job, workers: int) -> None:
    """Runs the pipeline in processes of this machine; raises as `run_pipeline`, and WorkerLost."""
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    _let_workers_import()
    options = [
        f"--runner={_LOCAL_RUNNER}",
        "--direct_running_mode=multi_processing",
        f"--direct_num_workers={workers}",
        "--default_sdk_harness_log_level=ERROR",
    ]
    with _noticing_lost_workers():
        run_pipeline(shards, job, options)


def run_pipeline(shards: Sequence[str], job: Job, options: Sequence[str]) -> None:
    """Runs the pipeline with the options of Beam, and waits for its end.

    Raises:
        UserError: of a worker, without its traceback.
    """
    pipeline = beam.Pipeline(options=PipelineOptions(list(options)))
    # Without the reshuffle, one worker would get all shards.
    _ = pipeline | beam.Create(shards) | beam.Reshuffle() | beam.ParDo(_FinishShard(job))
    try:
        pipeline.run().wait_until_finish()
    except RuntimeError as error:  # Beam passes on a worker's exception as text
        if told := _USER_ERROR.findall(str(error)):
            raise UserError(told[-1]) from error
        raise


@contextmanager
def _noticing_lost_workers() -> Iterator[None]:
    """Raises WorkerLost in the block when a worker is killed, for which Beam would wait forever.

    Beam notices the loss in a thread whose exception nobody else sees. Only the main thread can be
    interrupted, so in another one the block would wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main, report = threading.get_ident(), threading.excepthook
    lost: list[bool] = []

    def noticed(failure: threading.ExceptHookArgs) -> None:
        if lost:  # a consequence of the loss
            return
        if _LOST in str(failure.exc_value):
            lost.append(True)
            signal.pthread_kill(main, signal.SIGUSR1)
        else:
            report(failure)

    def interrupted(number: int, frame: FrameType | None) -> NoReturn:
        raise WorkerLost

    earlier = signal.signal(signal.SIGUSR1, interrupted)
    threading.excepthook = noticed
    try:
        yield
    finally:
        lost.append(True)  # from here on nobody would catch WorkerLost
        signal.signal(signal.SIGUSR1, earlier)
        threading.excepthook = report


def _let_workers_import() -> None:
    """Lets new Python processes import this package from wherever it was imported here."""
    os.environ["PYTHONPATH"] = python_path()
