"""A position in a file's bytes that only moves forwards.

All scanners of formats use it. A scanner that computes positions from the lengths in a hostile file
could read the same place forever; here a step that does not move forwards raises instead.
"""

import struct
from typing import Any


class CursorError(Exception):
    """A step that would not move forwards, or would leave the bytes."""


class Cursor:
    """Reads numbers from bytes at a position that every step moves forwards.

    A loop that moves the cursor in every iteration ends after at most `len(data)` iterations.
    """

    __slots__ = ("_at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        if not 0 <= at <= len(data):
            raise CursorError(f"position {at} is not in {len(data)} bytes")
        self.data = data
        self._at = at

    @property
    def at(self) -> int:
        """The position of the next byte."""
        return self._at

    @property
    def left(self) -> int:
        """The number of bytes from the position to the end."""
        return len(self.data) - self._at

    def move_to(self, at: int) -> None:
        """Moves to a position; raises CursorError if it is not ahead, or lies beyond the end."""
        if not self._at < at <= len(self.data):
            raise CursorError(f"no step from {self._at} to {at} in {len(self.data)} bytes")
        self._at = at

    def skip(self, count: int) -> None:
        """Moves forwards by `count` bytes, at least one; raises CursorError like `move_to`."""
        self.move_to(self._at + count)

    def peek(self, layout: struct.Struct, ahead: int = 0) -> tuple[Any, ...]:
        """Reads the fields of a layout `ahead` bytes from the position, without moving.

        Raises CursorError if the fields are not all within the bytes.
        """
        try:
            if ahead >= 0:  # a negative offset would count from the end
                return layout.unpack_from(self.data, self._at + ahead)
        except struct.error:
            pass
        raise CursorError(f"no {layout.size} bytes at {self._at + ahead} of {len(self.data)}")

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Reads the fields of a layout and moves past them; raises CursorError like `peek`."""
        fields = self.peek(layout)
        self.skip(layout.size)
        return fields
