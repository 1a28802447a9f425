"""Messages through the two pipes to a child process, with a deadline."""

import os
import select
import sys
import time
from typing import IO, Any, NamedTuple

import numpy as np

from pneumojax.isolation import protocol

_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which `fcntl` defines on Linux only


class Message(NamedTuple):
    """A header of JSON values, and the arrays that it announces."""

    header: dict[str, Any]
    arrays: list[np.ndarray]


class Pipes:
    """The parent's ends of both pipes, used by one thread at a time.

    Methods raise TimeoutError at the deadline, which is a time of `time.monotonic`, and EOFError or
    OSError when the child has ended.
    """

    def __init__(self, requests: IO[bytes], answers: IO[bytes]):
        self._streams = (requests, answers)
        self._requests, self._answers = requests.fileno(), answers.fileno()
        for descriptor in (self._requests, self._answers):
            os.set_blocking(descriptor, False)
            _enlarge(descriptor)

    def write(self, data: bytes, deadline: float) -> None:
        """Sends all bytes to the child."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._requests, left) :]
            except BlockingIOError:
                _wait(self._requests, select.POLLOUT, deadline)

    def read(self, deadline: float) -> Message:
        """Reads one message of the child.

        Raises:
            ProtocolError: the child does not follow the protocol.
        """
        length = bytearray(protocol.LENGTH.size)
        self._fill(memoryview(length), deadline)
        (size,) = protocol.LENGTH.unpack(length)
        if size > protocol.LONGEST_HEADER:
            raise protocol.ProtocolError("a header is too long")
        text = bytearray(size)
        self._fill(memoryview(text), deadline)
        header = protocol.decode_header(text)
        arrays = []
        for dtype, shape in protocol.array_headers(header.get("arrays", [])):
            arrays.append(np.empty(shape, dtype))
            if arrays[-1].size:
                self._fill(memoryview(arrays[-1].reshape(-1)).cast("B"), deadline)
        return Message(header, arrays)

    def close(self) -> None:
        """Closes both pipes."""
        for stream in self._streams:
            stream.close()

    def _fill(self, into: memoryview, deadline: float) -> None:
        while into:
            try:
                count = os.readv(self._answers, [into])
            except BlockingIOError:
                _wait(self._answers, select.POLLIN, deadline)
                continue
            if not count:
                raise EOFError
            into = into[count:]


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Waits until a pipe can be used; raises TimeoutError at the deadline."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, 1000 * (deadline - time.monotonic()))):
        raise TimeoutError


def _enlarge(descriptor: int) -> None:
    """Makes a pipe hold 1 MB in place of 64 kB, so that a film takes a few writes."""
    if sys.platform == "linux":
        import fcntl

        try:
            fcntl.fcntl(descriptor, _SET_PIPE_SIZE, _PIPE_BYTES)
        except OSError:  # an unprivileged user has a limit on the size of all pipes
            return
