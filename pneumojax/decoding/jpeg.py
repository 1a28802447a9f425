"""Reads the header of a JPEG file before a decoder does (ITU-T T.81, annex B).

Pillow and libjpeg-turbo each scan the markers, and nothing checks that they agree: Pillow allocates
the memory of a row by its own scan, and libjpeg-turbo fills the row by the width that it has read.
So a file is decoded only if no marker before the pixels can be read in two ways.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from pneumojax.decoding.cursor import Cursor, CursorError
from pneumojax.decoding.decompression_limits import MAX_SCANS
from pneumojax.decoding.film_error import FilmError

MAX_SEGMENTS = 1000  # before the pixels; Pillow keeps each in memory
MAX_JUNK = 1 << 16  # bytes between segments; Pillow skips them one by one in Python

_SOS, _DQT, _APP1, _APP2, _APP13 = 0xDA, 0xDB, 0xE1, 0xE2, 0xED
# The most bytes in all segments of a kind. Pillow parses quantisation tables and Photoshop blocks
# in Python, and joins EXIF segments in a time that grows with the square of their length.
_MOST = {_DQT: 1 << 16, _APP1: 1 << 20, _APP13: 1 << 22}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, without DHT, JPG and DAC
_OTHERS = {0xC4, 0xCC, _DQT, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}  # segments with a length
_SCALABLE = {0, 1, 2, 9, 10}  # frames of DCT coefficients, by Huffman or arithmetic coding
_LOSSLESS = 3
# Possessive quantifiers, so that a run of bytes is not tried again from its middle.
_MARKER = re.compile(rb"(?:[^\xff]*+\xff++\x00)*+[^\xff]*+\xff++([^\xff\x00])")
_SEGMENT = struct.Struct(">BBH")
_FRAME = struct.Struct(">BHHB")
_START_OF_SCAN = b"\xff\xda\x00"  # a scan header is at most 14 bytes long
_NEXT_PICTURE = b"\xff\xd9\xff\xd8\xff"  # the end of a picture and the start of another
_PICTURES, _PICTURE_ENTRIES, _THUMBNAIL = 0xB001, 0xB002, 1  # of a multi-picture index
_GAIN_MAPS = (b"http://ns.adobe.com/hdr-gain-map/", b"hdrgainmap")  # Android's and Apple's


class JpegHeader(NamedTuple):
    """The frame header of a JPEG."""

    frame: int  # the number of its SOF marker, such as 0 for baseline and 3 for lossless
    precision: int  # bits of a sample
    height: int  # pixels; 0 if a DNL marker after the pixels gives it
    width: int  # pixels
    components: int  # samples of a pixel
    scan: int = 0  # the position of the first scan's data, which all metadata precede

    @property
    def scalable(self) -> bool:
        """Whether libjpeg-turbo can decode at reduced size."""
        return self.frame in _SCALABLE


def read_header(data: bytes, kind: str = "JPEG") -> JpegHeader:
    """Reads the frame header of a JPEG, and checks everything before its pixels.

    Messages call the data `kind`, which may be a frame of another format.

    Raises:
        FilmError: damaged, of an unsupported frame (hierarchical, or lossless with arithmetic
            coding), of more segments or scans than any film has, or of several pictures.
    """
    scans = data.count(_START_OF_SCAN)
    if scans > MAX_SCANS:
        raise FilmError(f"{kind} of too many scans")
    try:
        header, pictures = _before_pixels(Cursor(data), kind)
    except CursorError as error:
        raise FilmError(f"damaged {kind} header") from error
    if pictures is None:  # the file has no index
        # Every picture has a scan, so a file with one scan need not be searched for more.
        pictures = 2 if scans > 1 and data.find(_NEXT_PICTURE, header.scan) >= 0 else 1
    if pictures > 1 and not any(mark in data for mark in _GAIN_MAPS):
        raise FilmError(f"{kind} of several pictures: only single films")
    if not header.scalable and header.frame != _LOSSLESS:
        raise FilmError(f"{kind} with an unsupported JPEG process (SOF{header.frame})")
    return header


def _before_pixels(cursor: Cursor, kind: str) -> tuple[JpegHeader, int | None]:
    """The frame header, and the number of pictures by the index; None without an index."""
    header, pictures = None, None
    totals = dict.fromkeys(_MOST, 0)
    for marker, body in _segments(cursor, kind):
        if marker in _FRAMES and header is None:
            header = JpegHeader(marker - 0xC0, *Cursor(body).take(_FRAME))
            if len(body) != _FRAME.size + 3 * header.components:
                break
        elif marker == _SOS and header is not None:
            return header._replace(scan=cursor.at), pictures
        elif marker not in _OTHERS:
            break
        elif marker == _APP2 and body.startswith(b"MPF\0"):
            pictures = _indexed_pictures(body[4:])
        elif marker in _MOST and (marker != _APP1 or body.startswith(b"Exif\0\0")):
            totals[marker] += len(body)
            if totals[marker] > _MOST[marker]:
                raise FilmError(f"{kind} of too much metadata")
    raise FilmError(f"damaged {kind} header")


def _segments(cursor: Cursor, kind: str) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment; the caller stops at the first scan."""
    cursor.skip(2)  # the start of the picture
    junk = 0
    for _ in range(MAX_SEGMENTS):
        start = cursor.at
        fill, marker, length = cursor.peek(_SEGMENT)
        if fill != 0xFF or marker in (0, 0xFF):  # junk or padding precedes the marker
            found = _MARKER.match(cursor.data, start, start + MAX_JUNK)
            junk += found.end() - start - 2 if found else MAX_JUNK
            if found is None or junk > MAX_JUNK:
                break
            cursor.move_to(found.end() - 2)
            _, marker, length = cursor.peek(_SEGMENT)
        if length < 2:
            break
        start = cursor.at + _SEGMENT.size
        cursor.skip(2 + length)
        yield marker, cursor.data[start : cursor.at]
    else:
        raise FilmError(f"{kind} of too many segments")
    raise FilmError(f"damaged {kind} header")


def _indexed_pictures(index: bytes) -> int | None:
    """The number of pictures in a multi-picture index, without thumbnails (CIPA DC-007, 5.2.3).

    None if the index cannot be read.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(index[:4])
    if order is None:
        return None
    entry, number = struct.Struct(order + "HHII"), struct.Struct(order + "I")
    try:
        cursor = Cursor(index, 4)
        cursor.move_to(*cursor.peek(number))
        (count,) = cursor.take(struct.Struct(order + "H"))
        values = {}
        for _ in range(count):  # bounded by the length of the segment
            tag, _, length, value = cursor.take(entry)
            values[tag] = (length, value)
        _, pictures = values.get(_PICTURES, (1, 1))
        length, place = values.get(_PICTURE_ENTRIES, (0, 0))
        entries = Cursor(index, place)
        thumbnails = 0
        for _ in range(min(pictures, length // 16)):
            thumbnails += entries.peek(number)[0] >> 16 & 0xFF == _THUMBNAIL
            entries.skip(16)
    except CursorError:
        return None
    return pictures - thumbnails
