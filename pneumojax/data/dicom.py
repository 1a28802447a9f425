"""Decodes the film in a DICOM file, as a viewer would show it, without reading whose it is.

Only the elements of `_TAGS` are read, and no message repeats what stands in a file. The standard
is DICOM PS3.3 (C.7.6.3 pixels, C.11.1 modality LUT, C.11.2 VOI LUT) and PS3.5.
"""

import io
import zlib

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from pneumojax.data.bounds import in_turn
from pneumojax.data.decoding import MAX_PIXELS, FilmError, check_size, no_warnings
from pneumojax.data.jpeg import read_header
from pneumojax.data.jpeg2000 import codestream_fault

_TAGS = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelData"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
]
_READ_BY_PYDICOM = (*uid.UncompressedTransferSyntaxes, uid.RLELossless)
# imagecodecs, because GDCM, which pydicom would use, ends the process on some damaged files.
_CODECS = {
    **dict.fromkeys(uid.JPEGTransferSyntaxes, imagecodecs.jpeg8_decode),
    **dict.fromkeys(uid.JPEGLSTransferSyntaxes, imagecodecs.jpegls_decode),
    **dict.fromkeys(uid.JPEG2000TransferSyntaxes, imagecodecs.jpeg2k_decode),
}
_END_OF_CODESTREAM = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 alike


def decode_dicom(data: bytes) -> Image.Image:
    """Decodes a film of one frame at full size.

    Rescale or modality LUT, then the first VOI LUT or window. Where a file has neither, 8 bits
    are shown as they are, and more bits from the darkest pixel to the brightest, as viewers do.
    MONOCHROME1 is inverted. One frame, 8 to 16 bits, signed or not, uncompressed, deflated, RLE,
    JPEG (lossless too), JPEG-LS or JPEG 2000.

    Returns:
        Of mode "L", or "RGB" where the file is in colour.

    Raises:
        FilmError: damaged, without pixels, too small, too large, or of a kind not listed above.
            The message holds sizes and numbers of the file, and nothing else.
    """
    try:
        dataset = _read(data)
        _check(dataset)
        with in_turn(dataset.Columns, dataset.Rows):
            stored = _stored(dataset)
            if stored.ndim == 3:
                return _colour(stored, dataset)
            return Image.fromarray(_grey(stored, dataset))
    except FilmError:
        raise
    except Exception:  # damaged files make pydicom and the codecs raise nearly anything
        # Its message, and the chain that Python would print, might quote the file.
        raise FilmError("damaged DICOM") from None


def _read(data: bytes) -> Dataset:
    _check_inflated(data)
    with no_warnings():  # about values out of line, which they might quote
        dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=_TAGS)
        for tag in _TAGS:  # converts what was read, which may warn too
            dataset.get(tag)
    if "TransferSyntaxUID" not in dataset.file_meta:  # pydicom found out, but does not say so
        _, little = dataset.original_encoding
        syntax = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = syntax  # implicit or not, pixels lie alike
    return dataset


def _check_inflated(data: bytes) -> None:
    """A deflated file is inflated whole before anything in it can be read: not without end."""
    # Where it begins is for pydicom to say: a group length may be wrong, or a preamble missing.
    stream = io.BytesIO(data)
    with no_warnings():
        read_preamble(stream, True)
        meta = _read_file_meta_info(stream)
        if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
            return
    inflate, left, most = zlib.decompressobj(-zlib.MAX_WBITS), stream.read(), 2 * MAX_PIXELS
    while left and not inflate.eof and most > 0:
        most -= len(inflate.decompress(left, 1 << 20))
        left = inflate.unconsumed_tail
    if most <= 0:
        raise FilmError("deflated DICOM: too large")


def _check(dataset: Dataset) -> None:
    if "PixelData" not in dataset:
        raise FilmError("DICOM without pixels")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise FilmError(f"DICOM of {int(dataset.NumberOfFrames)} frames: only single films")
    check_size(dataset.Columns, dataset.Rows)
    if dataset.BitsAllocated not in (8, 16) or not 1 < dataset.BitsStored <= dataset.BitsAllocated:
        raise FilmError(
            f"DICOM of {dataset.BitsStored} bits in {dataset.BitsAllocated}: only 8 to 16 bits"
        )
    if dataset.HighBit != dataset.BitsStored - 1:
        raise FilmError("DICOM whose bits do not begin at the lowest")
    kind, samples = dataset.PhotometricInterpretation, dataset.SamplesPerPixel
    grey = kind in ("MONOCHROME1", "MONOCHROME2") and samples == 1
    colour = kind == "RGB" or kind.startswith("YBR_") and kind != "YBR_PARTIAL_420"
    if not grey and not (colour and samples == 3 and dataset.BitsAllocated == 8):
        raise FilmError("DICOM neither of grey levels nor of 8-bit RGB or YBR")


def _stored(dataset: Dataset) -> np.ndarray:
    """The pixels as they are stored, (rows, columns), or (rows, columns, 3) for colour."""
    syntax = dataset.file_meta.TransferSyntaxUID
    shape: tuple[int, ...] = (dataset.Rows, dataset.Columns)
    if dataset.SamplesPerPixel == 3:
        shape = (*shape, 3)
    if syntax in _READ_BY_PYDICOM:
        with no_warnings():  # about padding at the end
            dataset.pixel_array_options(raw=True)
            return dataset.pixel_array.reshape(shape)
    if syntax not in _CODECS:
        raise FilmError("DICOM of a compression that is not read")
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    # Codecs would fill in what is cut off; CharLS would take ten seconds to find no end.
    if _END_OF_CODESTREAM not in frame[-4:]:
        raise FilmError("truncated DICOM")
    if syntax in uid.JPEGTransferSyntaxes:
        read_header(frame, "DICOM")
    size = dataset.Columns, dataset.Rows, dataset.SamplesPerPixel
    if syntax in uid.JPEG2000TransferSyntaxes and (fault := codestream_fault(frame, *size)):
        raise FilmError(f"DICOM whose JPEG 2000 is {fault}")
    # The codec sees from its own header whether size and type are these, before it decodes.
    error: Exception | None = None
    for dtype in (np.uint8, np.int8) if dataset.BitsStored <= 8 else (np.uint16, np.int16):
        try:
            return _CODECS[syntax](frame, out=np.empty(shape, dtype))
        except ValueError as wrong:
            error = wrong
    raise FilmError("DICOM whose pixels are not those that its header tells of") from error


def _grey(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """uint8 (rows, columns), by a table of what becomes of each value that can be stored."""
    bits = dataset.BitsStored
    # Bits above those stored may hold anything; a negative number is its two's complement.
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    places = stored.view(f"u{stored.itemsize}") & (2**bits - 1)
    values = np.arange(2**bits)
    if dataset.PixelRepresentation == 1:
        values[2 ** (bits - 1) :] -= 2**bits
    with no_warnings(), np.errstate(all="ignore"):
        values = apply_modality_lut(values, dataset)
        shown, (low, high) = _shown(values, places, dataset)
    scale = 255 / (high - low) if high != low else 0
    table = np.rint(np.clip((shown - low) * scale, 0, 255)).astype(np.uint8)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        table = 255 - table
    return table[places]


def _shown(
    values: np.ndarray, places: np.ndarray, dataset: Dataset
) -> tuple[np.ndarray, tuple[float, float]]:
    """The values after VOI LUT or window, and which of them are black and white."""
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi_lut(values, dataset).astype(float), (0.0, 2.0**bits - 1)
    if dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        black, white = apply_voi_lut(np.array([-1e30, 1e30]), dataset)
        return apply_voi_lut(values, dataset), (black, white)
    used = values
    if dataset.BitsStored > 8:
        counts = np.bincount(places.ravel(), minlength=len(values))
        if (padding := dataset.get("PixelPaddingValue")) is not None:
            counts[int(padding) % len(values)] = 0
        used = values[counts > 0]
    return values.astype(float), (min(used, default=0.0), max(used, default=0.0))


def _colour(stored: np.ndarray, dataset: Dataset) -> Image.Image:
    syntax, kind = dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation
    if kind == "RGB" or syntax in _CODECS:  # which give RGB of what they were given
        return Image.fromarray(stored)
    size = (dataset.Columns, dataset.Rows)
    return Image.frombytes("YCbCr", size, stored.tobytes()).convert("RGB")
