"""The targets "image" and "dicom": pictures and DICOM files, read as prediction reads them.

Large films may take much time and memory. The limit of pixels is lowered to exclude them, so that
small files that take as much stand out.
"""

import io
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.formats import decode_any
from pneumojax.decoding.preprocessing import Preprocessing
from tests.support.fuzz import dicom, jpeg, pictures
from tests.support.fuzz.worker import Target

LARGEST_FILM = 1_000_000  # pixels; the product allows 100,000,000
_SIDE = 16


def lower_limit() -> None:
    """Lowers the limit of pixels in every module that has a copy of it."""
    import pneumojax.decoding.dicom_file  # noqa: F401, one of the modules with a copy

    for name, module in list(sys.modules.items()):
        if name.startswith("pneumojax.") and hasattr(module, "MAX_PIXELS"):
            module.MAX_PIXELS = LARGEST_FILM


def read_image(data: bytes, folder: Path) -> str:
    """Returns the reason of a refusal, or whether the film is wide."""
    try:
        film = decode_any(data, Preprocessing(_SIDE, reduced_decode=True))
    except FilmError as error:
        return f"refused: {error}"
    assert film.pixels.shape == (_SIDE, _SIDE) and film.pixels.dtype == np.uint8
    assert 0 <= film.colour <= 255
    return f"film of {film.width > film.height}"


def valid_pictures() -> list[bytes]:
    """Makes a small valid picture of each format and mode."""
    wave = np.add.outer(np.arange(24), np.arange(32)) * 4
    grey = Image.fromarray(wave.astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    made = []
    for kind, mode, options in (
        *(("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")),
        ("JPEG", "L", {"progressive": True, "exif": exif}),
        *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        ("PNG", "L", {"exif": exif}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"exif": exif}),
        *(("TIFF", mode, {}) for mode in ("1", "L", "RGB", "CMYK")),
        *(("TIFF", "L", {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg")),
    ):
        stream = io.BytesIO()
        grey.convert(mode).save(stream, kind, **options)
        made.append(stream.getvalue())
    for kind in ("PNG", "TIFF"):
        stream = io.BytesIO()
        Image.fromarray(wave.astype(np.uint16) * 256).save(stream, kind)
        made.append(stream.getvalue())
    return made


def valid_dicoms() -> list[bytes]:
    """Makes a small valid file of each common transfer syntax."""
    import imagecodecs
    import pydicom
    from pydicom import uid
    from pydicom.encaps import encapsulate

    pixels = (np.add.outer(np.arange(24), np.arange(32)) * 60).astype(np.uint16)
    small = (pixels >> 4).astype(np.uint8)
    made = []
    for syntax, array, encode in (
        (uid.ExplicitVRLittleEndian, pixels, None),
        (uid.ImplicitVRLittleEndian, small, None),
        (uid.JPEGBaseline8Bit, small, lambda a: imagecodecs.jpeg8_encode(a, 90)),
        (uid.JPEGLosslessSV1, pixels, lambda a: imagecodecs.jpeg8_encode(a, lossless=True)),
        (uid.JPEGLSLossless, pixels, imagecodecs.jpegls_encode),
        (uid.JPEG2000Lossless, pixels, lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k")),
    ):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax
        data.SOPClassUID, data.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2"
        data.Rows, data.Columns = array.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 8 * array.itemsize
        data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
        data.WindowCenter, data.WindowWidth = 500, 900
        data.PixelData = encapsulate([encode(array)]) if encode else array.tobytes()
        data["PixelData"].VR = "OB" if encode or array.itemsize == 1 else "OW"
        data["PixelData"].is_undefined_length = encode is not None
        stream = io.BytesIO()
        data.save_as(stream, enforce_file_format=True)
        made.append(stream.getvalue())
    return made


def seeds_of_pictures() -> list[bytes]:
    """Lowers the limit before anything is read, and returns the valid pictures."""
    lower_limit()
    return valid_pictures()


def seeds_of_dicom() -> list[bytes]:
    """Lowers the limit before anything is read, and returns the valid DICOM files."""
    lower_limit()
    return valid_dicoms()


def _of_jpeg(rng: random.Random) -> bytes:
    return rng.choice(jpeg.GENERATORS)(rng)


TARGETS = {
    "image": Target(read_image, seeds_of_pictures, (_of_jpeg,) * 4 + pictures.GENERATORS),
    "dicom": Target(read_image, seeds_of_dicom, dicom.GENERATORS),
}
