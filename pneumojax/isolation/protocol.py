"""The messages between a process and its decoding child, and the child's limits.

A message is the length of the header (4 bytes, big-endian), a header in JSON, and the bytes that
the header announces. Nothing is pickled, so a child that a hostile file has taken over can send
wrong numbers but no code.
"""

import json
import math
import os
import select
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, NamedTuple

import numpy as np

LONGEST_HEADER = 1 << 22  # bytes of JSON
MOST_BYTES = 1 << 31  # of the arrays of one answer
_MOST_DIMENSIONS = 32  # of an array; the limit of NumPy 1
_LONGEST_LINE = 500  # characters of a reason
LENGTH = struct.Struct(">I")
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which `fcntl` defines on Linux only
_DTYPES = {
    *("bool", "uint8", "uint16", "int8", "int16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64"),
}


class Limits(NamedTuple):
    """The most that one child process, or one call of it, may take."""

    memory: int = 4 << 30  # bytes of address space; the largest accepted film takes 1.6 GB
    cpu: float = 60.0  # seconds of processor time for one call
    wall: float = 90.0  # seconds from the beginning of a call to its end
    files: int = 64  # open files of the process


DEFAULT = Limits()


class ProtocolError(Exception):
    """A message that does not follow this protocol."""


def encode_header(header: Mapping[str, Any]) -> bytes:
    """The length and the header of a message; raises ProtocolError if the header is too long."""
    text = json.dumps(header).encode()
    if len(text) > LONGEST_HEADER:
        raise ProtocolError(f"a header of {len(text):,} bytes is too long")
    return LENGTH.pack(len(text)) + text


def decode_header(text: bytes | bytearray) -> dict[str, Any]:
    """The header of a message; raises ProtocolError if it is not a JSON object."""
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header is not a JSON object")
    return header


def describe_arrays(arrays: Sequence[np.ndarray]) -> list[list[Any]]:
    """The types and shapes of arrays, in the form that `array_headers` reads."""
    return [[array.dtype.name, list(array.shape)] for array in arrays]


def array_headers(value: Any) -> list[tuple[np.dtype, tuple[int, ...]]]:
    """Reads the types and shapes of the arrays that follow a header.

    Raises:
        ProtocolError: a type or shape is not one that a child may send, or all arrays together
            would take more than `MOST_BYTES`.
    """
    if not isinstance(value, list):
        raise ProtocolError("the arrays are not listed")
    headers = [_array_header(entry) for entry in value]
    if sum(dtype.itemsize * math.prod(shape) for dtype, shape in headers) > MOST_BYTES:
        raise ProtocolError("the arrays are too large")
    return headers


def one_line(text: Any) -> str:
    """A child's reason as one line without control characters, safe in terminals and tables."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:_LONGEST_LINE])


def _array_header(entry: Any) -> tuple[np.dtype, tuple[int, ...]]:
    match entry:
        case [str() as name, list() as shape] if name in _DTYPES and _is_shape(shape):
            return np.dtype(name), tuple(shape)
    raise ProtocolError("an array has no type and shape that may be sent")


def _is_shape(lengths: list[Any]) -> bool:
    if len(lengths) > _MOST_DIMENSIONS or not all(type(n) is int and n >= 0 for n in lengths):
        return False
    # NumPy also refuses an empty array whose other dimensions are too long.
    return math.prod(max(n, 1) for n in lengths) <= MOST_BYTES


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
        """Reads one message; raises ProtocolError if the child does not follow the protocol."""
        length = bytearray(LENGTH.size)
        self._fill(memoryview(length), deadline)
        (size,) = LENGTH.unpack(length)
        if size > LONGEST_HEADER:
            raise ProtocolError("a header is too long")
        text = bytearray(size)
        self._fill(memoryview(text), deadline)
        header = decode_header(text)
        arrays = []
        for dtype, shape in array_headers(header.get("arrays", [])):
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
