"""TensorBoard event files, written by the thread that has something to say.

tensorboardX's own `SummaryWriter` writes from another thread, which a full disk ends; the next
flush would then wait for it for ever.
"""

import os
import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import scalar, text


class Events:
    """One event file in a folder; what earlier ones say from `purge_step` on is to be forgotten.

    Methods raise OSError as writing to a file does.
    """

    def __init__(self, folder: Path, purge_step: int | None):
        folder.mkdir(exist_ok=True)
        self._file = EventsWriter(str(folder / "events"), f".{os.getpid()}")
        if purge_step is not None:
            session = SessionLog(status=SessionLog.START)
            self._file.write_event(Event(step=purge_step, session_log=session))

    def scalar(self, name: str, value: float, step: int) -> None:
        """A point of a curve."""
        self._write(scalar(name, value), step)

    def text(self, name: str, value: str) -> None:
        """A line of text."""
        self._write(text(name, value), 0)

    def flush(self) -> None:
        """Brings everything to the disk."""
        self._file.flush()

    def close(self) -> None:
        """Flushes and closes."""
        self._file.close()

    def _write(self, summary: Summary, step: int) -> None:
        self._file.write_event(Event(summary=summary, step=step, wall_time=time.time()))
