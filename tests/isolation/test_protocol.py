"""Announced arrays that NumPy cannot make are refused before they are made."""

import pytest

from pneumojax.isolation import protocol


@pytest.mark.parametrize(
    "shape",
    [[1] * 70, [0, 1 << 31, 1 << 31, 1 << 31], [0, 1 << 62], [1 << 32], [-1], [True], [1.0], "ab"],
)
def test_a_shape_that_no_array_may_have_is_refused(shape):
    with pytest.raises(protocol.ProtocolError):
        protocol.array_headers([["uint8", shape]])


def test_arrays_that_are_too_large_together_are_refused():
    with pytest.raises(protocol.ProtocolError, match="too large"):
        protocol.array_headers([["uint8", [protocol.MOST_BYTES]]] * 2)


def test_a_reason_is_one_short_line_without_escape_codes():
    assert protocol.one_line("a\n\x1b[31mb") == "a??[31mb"
    assert len(protocol.one_line("x" * 10_000)) == 500
