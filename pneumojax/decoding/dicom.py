"""Decodes the film in a DICOM file as a viewer would show it.

Only the elements that the picture needs, the view and the texts asked for are read, and no message
quotes a file. The standard is DICOM PS3.3 (C.7.6.3 pixels, C.11.1 modality LUT, C.11.2 VOI LUT) and
PS3.5.
"""

import struct
from collections.abc import Collection

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from pneumojax.decoding.cursor import Cursor
from pneumojax.decoding.decompression_limits import check_size, in_turn
from pneumojax.decoding.dicom_file import read_elements, text_of
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.jpeg import read_header
from pneumojax.decoding.jpeg2000 import codestream_fault
from pneumojax.decoding.pillow import no_warnings

MAX_FRAGMENTS = 10_000  # of one picture

# By transfer syntax; they return RGB for every colour space. imagecodecs is used since GDCM,
# pydicom's choice, ends the process on some damaged files.
_CODECS = {
    **dict.fromkeys(uid.JPEGTransferSyntaxes, imagecodecs.jpeg8_decode),
    **dict.fromkeys(uid.JPEGLSTransferSyntaxes, imagecodecs.jpegls_decode),
    **dict.fromkeys(uid.JPEG2000TransferSyntaxes, imagecodecs.jpeg2k_decode),
}
_END_OF_CODESTREAM = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 alike
_ITEM = struct.Struct("<HHI")
_ITEM_TAG, _LAST_TAG = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_RLE_HEADER = struct.Struct("<16I")
_RLE_PADDING = 1024  # bytes after the pixels of a segment that are ignored


def decode_dicom(data: bytes, texts: Collection[str] = ()) -> tuple[Image.Image, dict[str, str]]:
    """Decodes a film of one frame at full size: mode "L", or "RGB" for a file in colour.

    The second result has the text of ViewPosition, and of the elements whose keywords are in
    `texts`, by keyword; "" for a missing or damaged one.

    Applies the rescaling or modality LUT, then the first VOI LUT or window. In a file with neither
    of the latter, 8 bits are shown unchanged and more bits from the darkest to the brightest pixel,
    as viewers do. MONOCHROME1 is inverted. Pixels may have 8 to 16 bits, signed or not, and be
    uncompressed, deflated, or compressed by RLE, JPEG (also lossless), JPEG-LS or JPEG 2000.

    Raises:
        FilmError: damaged, without pixels, too small, too large, or of a kind not listed above.
            From the file the message quotes sizes and numbers only.
    """
    texts = {"ViewPosition", *texts}
    try:
        dataset = read_elements(data, texts)
        header = {keyword: text_of(dataset, keyword) for keyword in sorted(texts)}
        _check(dataset)
        with in_turn(dataset.Columns, dataset.Rows):
            stored = stored_pixels(dataset)
            if stored.ndim == 3:
                return _colour(stored, dataset), header
            return Image.fromarray(_grey(stored, dataset)), header
    except FilmError:
        raise
    except Exception:  # damaged files make pydicom and the codecs raise nearly anything
        # The original message might quote the file, also as part of a chained traceback.
        raise FilmError("damaged DICOM") from None


def _check(dataset: Dataset) -> None:
    if "PixelData" not in dataset:
        raise FilmError("DICOM without pixels")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise FilmError(f"DICOM of {int(dataset.NumberOfFrames)} frames: only single films")
    check_size(dataset.Columns, dataset.Rows)
    # A damaged file may have a text here, which int() refuses, so that no message quotes it.
    stored, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    if allocated not in (8, 16) or not 1 < stored <= allocated:
        raise FilmError(f"DICOM of {stored} bits in {allocated}: only 8 to 16 bits")
    if dataset.HighBit != dataset.BitsStored - 1:
        raise FilmError("DICOM with a high bit other than the highest stored bit")
    kind, samples = dataset.PhotometricInterpretation, dataset.SamplesPerPixel
    grey = kind in ("MONOCHROME1", "MONOCHROME2") and samples == 1
    colour = kind == "RGB" or kind.startswith("YBR_") and kind != "YBR_PARTIAL_420"
    if not grey and not (colour and samples == 3 and dataset.BitsAllocated == 8):
        raise FilmError("DICOM neither of grey levels nor of 8-bit RGB or YBR")


def _grey(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """uint8 (rows, columns), by a table with the grey level of every value that can be stored."""
    bits = dataset.BitsStored
    # Bits above those stored are undefined. Negative numbers are in two's complement.
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    places = stored.view(f"u{stored.itemsize}") & (2**bits - 1)
    values = np.arange(2**bits)
    if dataset.PixelRepresentation == 1:
        values[2 ** (bits - 1) :] -= 2**bits
    with no_warnings(), np.errstate(all="ignore"):
        values = apply_modality_lut(values, dataset)
        shown, (low, high) = _shown(values, places, dataset)
    if not np.isfinite([low, high, shown.min(), shown.max()]).all():  # NaN stays NaN
        raise FilmError("DICOM with a window or rescaling that is not a number")
    scale = 255 / (high - low) if high != low else 0
    table = np.rint(np.clip((shown - low) * scale, 0, 255)).astype(np.uint8)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        table = 255 - table
    return table[places]


def _shown(
    values: np.ndarray, places: np.ndarray, dataset: Dataset
) -> tuple[np.ndarray, tuple[float, float]]:
    """The values after the VOI LUT or window, and the values of black and of white."""
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        if not 1 <= bits <= 16:
            raise FilmError("DICOM with a damaged table of grey levels")
        return apply_voi_lut(values, dataset).astype(float), (0.0, 2.0**bits - 1)
    if dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        black, white = apply_voi_lut(np.array([-1e30, 1e30]), dataset)
        if black == white:
            raise FilmError("DICOM with a window of a single grey level")
        return apply_voi_lut(values, dataset), (black, white)
    used = values
    if dataset.BitsStored > 8:
        counts = np.bincount(places.ravel(), minlength=len(values))
        if (padding := dataset.get("PixelPaddingValue")) is not None:
            counts[int(padding) % len(values)] = 0
        used = values[counts > 0]
    return values.astype(float), (min(used, default=0.0), max(used, default=0.0))


def _colour(stored: np.ndarray, dataset: Dataset) -> Image.Image:
    if dataset.PhotometricInterpretation == "RGB" or dataset.file_meta.TransferSyntaxUID in _CODECS:
        return Image.fromarray(stored)
    size = (dataset.Columns, dataset.Rows)
    return Image.frombytes("YCbCr", size, stored.tobytes()).convert("RGB")


def stored_pixels(dataset: Dataset) -> np.ndarray:
    """The pixels as they are stored, (rows, columns) or (rows, columns, 3), before any LUT.

    They are integers of 8 or 16 bits, signed or not, in either byte order.

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
    if syntax not in _CODECS:
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
            return _CODECS[syntax](frame, out=np.empty(shape, dtype))
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
