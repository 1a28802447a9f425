"""A position in a file's bytes that only moves forwards.

Every scanner of a format uses it. A length of zero in a hostile file would make a scanner that
computes its own positions read the same place for ever; here such a step raises instead.
"""

import struct
from typing import Any


class CursorError(Exception):
    """A step that would stand still, go backwards or leave the bytes."""


class Cursor:
    """Reads numbers from bytes. Each call of a method that moves it moves it forwards.

    A loop in which every turn moves the cursor ends after at most `len(data)` turns.

    Args:
        data: the bytes; they are not copied.
        at: the first position, 0 to len(data).
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
        """Moves forwards to a position; the end of the bytes is one.

        Raises:
            CursorError: the position is not behind the present one, or is behind the end.
        """
        if not self._at < at <= len(self.data):
            raise CursorError(f"no step from {self._at} to {at} in {len(self.data)} bytes")
        self._at = at

    def skip(self, count: int) -> None:
        """Moves forwards by one byte or more; raises CursorError as `move_to`."""
        at = self._at + count
        if count <= 0 or at > len(self.data):
            raise CursorError(f"no step of {count} from {self._at} in {len(self.data)} bytes")
        self._at = at

    def peek(self, layout: struct.Struct, ahead: int = 0) -> tuple[Any, ...]:
        """Reads the fields of a layout, `ahead` bytes from the position, without a move.

        Raises:
            CursorError: the fields are not all within the bytes.
        """
        try:
            if ahead >= 0:  # or it would count from the end
                return layout.unpack_from(self.data, self._at + ahead)
        except struct.error:
            pass
        raise CursorError(f"no {layout.size} bytes at {self._at + ahead} of {len(self.data)}")

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Reads the fields of a layout and moves behind them; raises CursorError as `peek`."""
        fields = self.peek(layout)
        self.skip(layout.size)
        return fields
