"""TensorBoard event files, written by the calling thread.

tensorboardX offers two writers. `SummaryWriter` writes from a second thread; a full disk ends that
thread, and the next flush waits for it for ever. `EventsWriter` has a buffer, which on a full disk
raises a traceback when the interpreter ends. So the records are framed here, as TFRecord: the
length as 8 bytes, its masked CRC-32C, the serialized event and the masked CRC-32C of the event
(https://www.tensorflow.org/tutorials/load_data/tfrecord).
"""

import os
import socket
import struct
import time
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import scalar, text

from pneumojax.files import Appended


class Events:
    """One event file in a folder; from `purge_step` on it replaces the folder's earlier files.

    Methods raise OSError, as writing to a file does.
    """

    def __init__(self, folder: Path, purge_step: int | None):
        folder.mkdir(exist_ok=True)
        # TensorBoard reads the files whose names contain "tfevents", in the order of their names.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._file = Appended(folder / name)
        self._append(Event(file_version="brain.Event:2", wall_time=time.time()))
        if purge_step is not None:
            session = SessionLog(status=SessionLog.START)
            self._append(Event(step=purge_step, session_log=session))

    def scalar(self, name: str, value: float, step: int) -> None:
        self._write(scalar(name, value), step)

    def text(self, name: str, value: str) -> None:
        self._write(text(name, value), 0)

    def flush(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self.flush()
        self._file.close()

    def _write(self, summary: Summary, step: int) -> None:
        self._append(Event(summary=summary, step=step, wall_time=time.time()))

    def _append(self, event: Event) -> None:
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
        self._file.write(length + checks[0] + data + checks[1])
