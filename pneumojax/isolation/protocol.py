"""The messages between a process and its decoding child: a JSON header, then bytes.

A message is the length of the header (4 bytes, big-endian), the header, and as many bytes as the
header says. Nothing is pickled: a child that a hostile file has taken over can answer with wrong
numbers, and with nothing else.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

LONGEST_HEADER = 1 << 22  # bytes of JSON
MOST_BYTES = 1 << 31  # of the arrays of one answer
_MOST_SIDES = 32  # of an array; NumPy 1 knows no more
_LONGEST_LINE = 500  # characters of a reason that a child gives
LENGTH = struct.Struct(">I")
_DTYPES = {
    *("bool", "uint8", "uint16", "int8", "int16", "int32", "uint32", "int64", "uint64"),
    *("float16", "float32", "float64"),
}


class ProtocolError(Exception):
    """A message that does not follow this protocol."""


class ArrayHeader(NamedTuple):
    """The type and shape of an array whose bytes follow a header."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The number of bytes that follow."""
        return self.dtype.itemsize * math.prod(self.shape)


def encode_header(header: Mapping[str, Any]) -> bytes:
    """The beginning of a message.

    Raises:
        ProtocolError: the header is longer than `LONGEST_HEADER`.
    """
    text = json.dumps(header).encode()
    if len(text) > LONGEST_HEADER:
        raise ProtocolError(f"a header of {len(text):,} bytes is too long")
    return LENGTH.pack(len(text)) + text


def decode_header(text: bytes | bytearray) -> dict[str, Any]:
    """The header of a message.

    Raises:
        ProtocolError: it is not a JSON object.
    """
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header is not a JSON object")
    return header


def describe_arrays(arrays: Sequence[np.ndarray]) -> list[list[Any]]:
    """What `array_headers` reads back."""
    return [[array.dtype.name, list(array.shape)] for array in arrays]


def array_headers(value: Any) -> list[ArrayHeader]:
    """Reads the types and shapes of the arrays that follow a header.

    Raises:
        ProtocolError: a type or shape is not one that a child may send, or all arrays together
            would take more than `MOST_BYTES`.
    """
    if not isinstance(value, list):
        raise ProtocolError("the arrays are not listed")
    headers = [_array_header(entry) for entry in value]
    if sum(header.nbytes for header in headers) > MOST_BYTES:
        raise ProtocolError("the arrays are too large")
    return headers


def one_line(text: Any) -> str:
    """A reason that a child gives, as one line that is safe in a terminal and in a table."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:_LONGEST_LINE])


def _array_header(entry: Any) -> ArrayHeader:
    match entry:
        case [str() as name, list() as shape] if name in _DTYPES and _is_shape(shape):
            return ArrayHeader(np.dtype(name), tuple(shape))
    raise ProtocolError("an array has no type and shape that may be sent")


def _is_shape(sides: list[Any]) -> bool:
    if len(sides) > _MOST_SIDES or not all(type(side) is int and side >= 0 for side in sides):
        return False
    # An empty array may not be long on its other sides either: NumPy raises on those.
    return math.prod(max(side, 1) for side in sides) <= MOST_BYTES
