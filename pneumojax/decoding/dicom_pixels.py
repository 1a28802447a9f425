"""Decodes the stored pixels of a DICOM dataset with the codec of its transfer syntax."""

import struct

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset

from pneumojax.decoding.cursor import Cursor
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.jpeg import read_header
from pneumojax.decoding.jpeg2000 import codestream_fault
from pneumojax.decoding.pillow import no_warnings

MAX_FRAGMENTS = 10_000  # of one picture

# By transfer syntax; they return RGB for every colour space. imagecodecs is used since GDCM,
# pydicom's choice, ends the process on some damaged files.
CODECS = {
    **dict.fromkeys(uid.JPEGTransferSyntaxes, imagecodecs.jpeg8_decode),
    **dict.fromkeys(uid.JPEGLSTransferSyntaxes, imagecodecs.jpegls_decode),
    **dict.fromkeys(uid.JPEG2000TransferSyntaxes, imagecodecs.jpeg2k_decode),
}
_END_OF_CODESTREAM = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 alike
_ITEM = struct.Struct("<HHI")
_ITEM_TAG, _LAST_TAG = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_RLE_HEADER = struct.Struct("<16I")
_RLE_PADDING = 1024  # bytes after the pixels of a segment that are ignored


def stored_pixels(dataset: Dataset) -> np.ndarray:
    """The pixels as they are stored, before any rescaling or LUT.

    Returns:
        (rows, columns), or (rows, columns, 3) for colour: 8- or 16-bit integers, signed or not, in
        either byte order.

    Raises:
        FilmError: cut short, or of another size or depth than the dataset says.
        Exception: damaged pixels may raise nearly any other.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    shape: tuple[int, ...] = (dataset.Rows, dataset.Columns)
    if dataset.SamplesPerPixel == 3:
        shape = (*shape, 3)
    if syntax in uid.UncompressedTransferSyntaxes:
        with no_warnings():  # pydicom warns about padding at the end
            dataset.pixel_array_options(raw=True)
            return dataset.pixel_array.reshape(shape)
    if syntax == uid.RLELossless:
        return _run_lengths(_joined(dataset.PixelData), shape, dataset.BitsAllocated // 8)
    if syntax not in CODECS:
        raise FilmError("DICOM with an unsupported compression")
    frame = _joined(dataset.PixelData)
    # Most codecs would fill in the missing part, and CharLS would search ten seconds for the end.
    if _END_OF_CODESTREAM not in frame[-4:]:
        raise FilmError("truncated DICOM")
    if syntax in uid.JPEGTransferSyntaxes:
        read_header(frame, "DICOM")
    size = dataset.Columns, dataset.Rows, dataset.SamplesPerPixel
    if syntax in uid.JPEG2000TransferSyntaxes and (fault := codestream_fault(frame, *size)):
        raise FilmError(f"DICOM with JPEG 2000 pixels that are {fault}")
    # The codec compares size and type with its own header before it decodes.
    error: Exception | None = None
    for dtype in (np.uint8, np.int8) if dataset.BitsStored <= 8 else (np.uint16, np.int16):
        try:
            return CODECS[syntax](frame, out=np.empty(shape, dtype))
        except ValueError as wrong:
            error = wrong
    raise FilmError("DICOM with pixels that do not match its header") from error


def _joined(value: bytes) -> bytes:
    """The one frame of encapsulated pixels (PS3.5, A.4): its fragments without the offset table."""
    cursor = Cursor(value)
    parts: list[bytes] = []
    while cursor.left and len(parts) <= MAX_FRAGMENTS:
        *tag, length = cursor.take(_ITEM)
        if tuple(tag) == _LAST_TAG:
            break
        if tuple(tag) != _ITEM_TAG:
            raise FilmError("damaged DICOM")
        start = cursor.at
        if length:
            cursor.skip(length)
        parts.append(value[start : cursor.at])
    if len(parts) > MAX_FRAGMENTS:
        raise FilmError("DICOM of too many fragments")
    return b"".join(parts[1:])


def _run_lengths(frame: bytes, shape: tuple[int, ...], itemsize: int) -> np.ndarray:
    """Decodes RLE (PS3.5, annex G): a segment for each byte of each sample, the highest first.

    pydicom would decode a segment to its end, and a segment of 60 MB takes 4 GB.
    """
    count, *offsets = Cursor(frame).peek(_RLE_HEADER)
    samples = shape[2] if len(shape) == 3 else 1
    if count != samples * itemsize:
        raise FilmError("DICOM with pixels that do not match its header")
    ends = [*offsets[1:count], len(frame)]
    pixels = shape[0] * shape[1]
    planes = np.empty((samples, pixels, itemsize), np.uint8)
    buffer = np.empty(pixels + _RLE_PADDING, np.uint8)
    for number, (start, end) in enumerate(zip(offsets, ends, strict=False)):
        decoded = imagecodecs.packbits_decode(frame[start:end], out=memoryview(buffer))
        if len(decoded) < pixels:
            raise FilmError("truncated DICOM")
        planes[number // itemsize, :, number % itemsize] = decoded[:pixels]
    values = planes.view(f">u{itemsize}")[..., 0]
    return np.moveaxis(values.reshape(samples, *shape[:2]), 0, -1).reshape(shape)
