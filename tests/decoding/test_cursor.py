"""The cursor of all scanners only moves forwards."""

import struct
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumojax.decoding.chunks import png_fault, webp_fault
from pneumojax.decoding.cursor import Cursor, CursorError
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.jpeg import read_header
from pneumojax.decoding.jpeg2000 import codestream_fault

STEPS = st.lists(st.tuples(st.sampled_from(["move_to", "skip"]), st.integers(-300, 300)))
# Bytes that scanners read as markers, lengths and counts; they skip others as junk.
HOSTILE = st.lists(
    st.sampled_from(
        [b"\xff", b"\0", b"\x01", b"\x0c", b"\xff\xc0", b"\xff\xc3", b"\xff\xda", b"\xff\xe1\0\2"]
        + [b"\xff\x90\0\x0a\0\0\0\0\0\x0c\0\1", b"\xff\x93", b"\xff\x52\0\x0c", b"\xff\xd8\xff"]
        + [b"\0\0\0\0IDAT", b"\xff\xff\xff\xffacTL", b"VP8 \0\0\0\0"]
    ),
    max_size=80,
).map(b"".join)


@given(st.binary(max_size=200), STEPS)
def test_a_cursor_moves_forwards_and_stays_in_its_bytes_or_raises(data, steps):
    cursor = Cursor(data)
    for method, argument in steps:
        before = cursor.at
        try:
            getattr(cursor, method)(argument)
        except CursorError:
            assert cursor.at == before
        else:
            assert before < cursor.at <= len(data)


def test_standing_still_going_back_and_leaving_the_bytes_raise():
    cursor = Cursor(b"abcdef", 3)
    for step in (cursor.skip, lambda by: cursor.move_to(3 + by)):
        for by in (0, -1, -3, 4, 1 << 64):
            with pytest.raises(CursorError):
                step(by)
    cursor.skip(3)
    assert (cursor.at, cursor.left) == (6, 0)
    for start in (-1, 7):
        with pytest.raises(CursorError):
            Cursor(b"abcdef", start)


def test_fields_are_read_in_place_or_on_the_way():
    cursor, pair = Cursor(b"\0\1\0\2\0\3"), struct.Struct(">HH")
    assert cursor.peek(pair, 2) == (2, 3) and cursor.at == 0
    assert cursor.take(pair) == (1, 2) and cursor.at == 4
    for ahead in (0, 1, -2):
        with pytest.raises(CursorError):
            cursor.peek(pair, ahead)


@settings(deadline=timedelta(seconds=1), max_examples=300)
@given(HOSTILE)
def test_every_scanner_ends_on_bytes_made_to_hold_it_up(data):
    with_start = b"\xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">8IH", 8, 8, 0, 0, 8, 8, 0, 0, 1)
    codestream_fault(with_start + data, 8, 8, 1)
    png_fault(b"\x89PNG\r\n\x1a\n" + data)
    webp_fault(b"RIFF\0\0\0\0WEBP" + data)
    try:
        read_header(b"\xff\xd8" + data)
    except FilmError as error:
        assert "\n" not in str(error)
