"""Two roads of the fuzzer: pictures and DICOM files, as prediction reads them.

The film-size limit is lowered, so that the time and memory that the largest films may take do not
hide what a small file takes without reason.
"""

import io
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from pneumojax.decoding.film import FilmError, Preprocessing
from pneumojax.decoding.formats import decode_any
from tests.support.fuzz import dicom as fuzz_dicom
from tests.support.fuzz import jpeg as fuzz_jpeg
from tests.support.fuzz import pictures as fuzz_pictures
from tests.support.fuzz.worker import Road

LARGEST_FILM = 1_000_000  # pixels; 100,000,000 outside the fuzzer
_SIDE = 16


def lower_limit() -> None:
    """Sets the film-size limit in every module that has a copy of it."""
    import pneumojax.decoding.dicom  # noqa: F401

    for name, module in list(sys.modules.items()):
        if name.startswith("pneumojax.") and hasattr(module, "MAX_PIXELS"):
            module.MAX_PIXELS = LARGEST_FILM


def read_image(data: bytes, folder: Path) -> str:
    """How a film is answered: the reason of a refusal, or whether it is wide or tall."""
    try:
        film = decode_any(data, Preprocessing(_SIDE, reduced_decode=True))
    except FilmError as error:
        return f"refused: {error}"
    assert film.pixels.shape == (_SIDE, _SIDE) and film.pixels.dtype == np.uint8
    assert 0 <= film.colour <= 255
    return f"film of {film.width > film.height}"


def pictures() -> list[bytes]:
    """A small valid picture of each format and mode."""
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


def dicoms() -> list[bytes]:
    """A small valid file of each common transfer syntax."""
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
    """Those of `pictures`; called once, before anything is read."""
    lower_limit()
    return pictures()


def seeds_of_dicom() -> list[bytes]:
    """Those of `dicoms`; called once, before anything is read."""
    lower_limit()
    return dicoms()


def _of_jpeg(rng: random.Random) -> bytes:
    return rng.choice(fuzz_jpeg.GENERATORS)(rng)


ROADS = {
    "image": Road(read_image, seeds_of_pictures, (_of_jpeg,) * 4 + fuzz_pictures.GENERATORS),
    "dicom": Road(read_image, seeds_of_dicom, fuzz_dicom.GENERATORS),
}
