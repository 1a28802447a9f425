"""The messages between a process and its decoding child: a JSON header, then bytes.

A message is the length of the header (4 bytes, big-endian), the header, and the bytes that the
header announces. Nothing is pickled, so a child that a hostile file has taken over can send wrong
numbers but no code.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

LONGEST_HEADER = 1 << 22  # bytes of JSON
MOST_BYTES = 1 << 31  # of the arrays of one answer
_MOST_DIMENSIONS = 32  # of an array; the limit of NumPy 1
_LONGEST_LINE = 500  # characters of a reason
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
    """The length and the header of a message.

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
    """The types and shapes of arrays, in the form that `array_headers` reads."""
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
    """A child's reason as one line without control characters, safe in terminals and tables."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:_LONGEST_LINE])


def _array_header(entry: Any) -> ArrayHeader:
    match entry:
        case [str() as name, list() as shape] if name in _DTYPES and _is_shape(shape):
            return ArrayHeader(np.dtype(name), tuple(shape))
    raise ProtocolError("an array has no type and shape that may be sent")


def _is_shape(lengths: list[Any]) -> bool:
    if len(lengths) > _MOST_DIMENSIONS or not all(type(n) is int and n >= 0 for n in lengths):
        return False
    # NumPy also refuses an empty array whose other dimensions are too long.
    return math.prod(max(n, 1) for n in lengths) <= MOST_BYTES
