"""Decodes one film into grey pixels of the size that the network sees, or says why it cannot.

For everything that reads films. These are the formats that a run is trained on; `formats.py` reads
more of them for prediction, by the same steps.
"""

import contextlib
import hashlib
import io
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin

from pneumojax.decoding.chunks import png_fault
from pneumojax.decoding.decompression_limits import has_repeated_values, in_turn
from pneumojax.decoding.film_error import FilmError, UnreadFile
from pneumojax.decoding.jpeg import read_header
from pneumojax.decoding.preprocessing import Box, Preprocessing, resize_film

MIN_SIDE = 16  # pixels; nothing smaller is a radiograph
MAX_BYTES = 1 << 30  # of a file; a film of the most pixels that are read takes less
MAX_PIXELS = 100_000_000  # checked before decoding: a small file can unpack to fill the memory

_PROFILE = "Raw profile type exif"  # EXIF as text, in a PNG


class CheckedTags(ImageFile.ImageFile):
    """A picture whose EXIF is left unread where reading it would fill the memory."""

    def getexif(self) -> Image.Exif:
        """As Pillow's, but empty then."""
        if self.format == "PNG":
            self.load()  # it may stand behind the pixels
        if "exif" not in self.info and _PROFILE in self.info:
            text = "".join(self.info[_PROFILE].split("\n")[3:])
            self.info["exif"] = bytes.fromhex(text)
        if has_repeated_values(self.info.get("exif", b"").removeprefix(b"Exif\0\0"), nested=False):
            return Image.Exif()
        return super().getexif()


class _Jpeg(CheckedTags, JpegImagePlugin.JpegImageFile):
    scalable = False  # until the frame header says so

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """As Pillow's where libjpeg-turbo can decode at reduced size, else without effect.

        For a lossless frame Pillow would shrink the buffer of a row, and libjpeg-turbo would write
        the whole row into it.
        """
        return super().draft(mode, size) if self.scalable else None


class _Png(CheckedTags, PngImagePlugin.PngImageFile):
    pass


_KINDS: dict[bytes, tuple[type[_Jpeg] | type[_Png], tuple[bytes, ...]]] = {
    # Signature: reader, and what stands in files whose metadata Pillow may warn about.
    b"\xff\xd8\xff": (_Jpeg, (b"Exif", b"exif")),
    b"\x89PNG\r\n\x1a\n": (_Png, (b"Exif", b"eXIf", b"exif", b"acTL")),
}
_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {  # EXIF orientation -> what makes the film upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_warnings_lock = threading.Lock()


@dataclass(frozen=True)
class DecodedFilm:
    """A film as the network sees it, its upright size in the file, the file and its SHA-256."""

    pixels: np.ndarray  # uint8 (image_size, image_size)
    width: int
    height: int
    data: bytes
    sha256: str


def decode_film(data: bytes, preprocessing: Preprocessing) -> tuple[np.ndarray, int, int]:
    """Decodes a JPEG or PNG of any mode into one resized grey channel.

    Returns:
        uint8 (image_size, image_size), and width and height in pixels of the upright film, as
        they are in the file.

    Raises:
        FilmError: as `decode_grey`.
    """
    image, has_metadata = open_film(data)
    width, height = image.size
    with in_turn(width, height):
        box = _reduce(image, preprocessing)
        grey = _load_grey(image)
        orientation = orientation_of(image, has_metadata)
        if box is None:
            grey = resize_film(upright(grey, orientation), preprocessing)
        else:  # the rectangle is that of the film as it lies
            grey = upright(resize_film(grey, preprocessing, box), orientation)
        image.close()
    if orientation in _SIDEWAYS:
        width, height = height, width
    return np.array(grey), width, height


def decode_grey(data: bytes) -> Image.Image:
    """Decodes a JPEG or PNG of any mode into an upright film of one channel, at full size.

    Alpha is ignored, 16 bits are scaled by their full range, the EXIF orientation is applied.

    Raises:
        FilmError: not a film, damaged, cut short, too small or too large.
    """
    image, has_metadata = open_film(data)
    with in_turn(*image.size):
        return upright(_load_grey(image), orientation_of(image, has_metadata))


def read_film(path: Path, preprocessing: Preprocessing) -> DecodedFilm:
    """Reads and decodes one file.

    Raises:
        FilmError: as `decode_film`.
        UnreadFile: the file cannot be read.
    """
    data = read_bytes(path)
    pixels, width, height = decode_film(data, preprocessing)
    return DecodedFilm(pixels, width, height, data, hashlib.sha256(data).hexdigest())


def read_bytes(path: Path) -> bytes:
    """The contents of a file, if it is one and not larger than any film.

    Raises:
        FilmError: it is not; nothing of it has been read.
        UnreadFile: the file system does not give it.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise FilmError("not a file")
        if status.st_size > MAX_BYTES:
            raise FilmError(f"{status.st_size:,} bytes: too large")
        return path.read_bytes()
    except OSError as error:
        raise UnreadFile(f"cannot be read: {error.strerror}") from error


def open_film(data: bytes) -> tuple[ImageFile.ImageFile, bool]:
    """Reads the header and checks the size; also whether there may be EXIF or the like."""
    if not data:
        raise FilmError("empty file")
    kinds = [kind for signature, kind in _KINDS.items() if data.startswith(signature)]
    if not kinds:
        raise FilmError("not a JPEG or PNG image")
    ((plugin, marks),) = kinds
    scalable, behind_metadata = False, len(data)
    if plugin is _Jpeg:
        scalable, behind_metadata = _check_jpeg(data)
    elif fault := png_fault(data):
        raise FilmError(f"PNG {fault}")
    # The warnings say nothing about the pixels. Their filter is global to the process, so it is
    # touched only where there is metadata.
    has_metadata = any(data.find(mark, 0, behind_metadata) >= 0 for mark in marks)
    with no_warnings() if has_metadata else contextlib.nullcontext():
        image = _read_header(plugin, data)
    image.decodermaxblock = len(data)  # it is in memory already: decode in one call, not in blocks
    if isinstance(image, _Jpeg):
        image.scalable = scalable
    check_size(*image.size)
    return image, has_metadata


def _check_jpeg(data: bytes) -> tuple[bool, int]:
    """Whether a JPEG may be decoded at reduced size, and where its pixels begin.

    Raises:
        FilmError: it is not read.
    """
    header = read_header(data)
    if not header.scalable and header.precision != 8:
        raise FilmError(f"lossless JPEG of {header.precision} bits: only 8 bits outside DICOM")
    return header.scalable, header.scan


def check_size(width: int, height: int) -> None:
    """Raises FilmError for a size in pixels that no film has, to be asked before decoding."""
    if min(width, height) < MIN_SIDE:
        raise FilmError(f"{width} x {height} pixels: too small")
    if width * height > MAX_PIXELS:
        raise FilmError(f"{width} x {height} pixels: too large")


def _read_header(plugin: type[_Jpeg] | type[_Png], data: bytes) -> ImageFile.ImageFile:
    """`Image.open` would add a size check that warns; ours does not."""
    try:
        return plugin(io.BytesIO(data))
    except Exception as error:  # damaged headers make Pillow raise nearly anything
        raise FilmError(f"damaged {plugin.format} header") from error


def _reduce(image: ImageFile.ImageFile, preprocessing: Preprocessing) -> Box | None:
    """Has a large JPEG decoded at 1/2, 1/4 or 1/8, grey from its luma alone, if allowed.

    Returns:
        The film's own rectangle in the smaller picture, of which the last column and row may
        stand for less than a whole pixel; None where the film is decoded in full.
    """
    side = preprocessing.image_size
    allowed = preprocessing.reduced_decode and preprocessing.resize == "bilinear_antialias"
    if not allowed or min(image.size) < 2 * side:
        return None  # also keeps the pixels of films that are not reduced what they always were
    drafted = image.draft("L", (side, side))
    return drafted[1] if drafted else None


def load(image: Image.Image) -> None:
    """Decodes the pixels; raises FilmError where they are damaged or cut short."""
    try:
        image.load()
    except Exception as error:  # damaged files make Pillow raise nearly anything
        state = "truncated" if "truncated" in str(error) else "damaged"
        raise FilmError(f"{state} {image.format}") from error


def _load_grey(image: ImageFile.ImageFile) -> Image.Image:
    load(image)
    if image.mode.startswith("I"):  # 16 bits, which convert("L") would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image.info.pop("transparency", None)  # or convert() warns about it
    return image.convert("L")


def orientation_of(image: ImageFile.ImageFile, has_metadata: bool) -> int:
    """The EXIF orientation, 1 where there is none that can be read."""
    if not has_metadata:
        return 1
    # Damaged EXIF is no reason to lose a film.
    with no_warnings(), contextlib.suppress(Exception):
        return image.getexif().get(_ORIENTATION_TAG, 1)
    return 1


def upright(grey: Image.Image, orientation: int) -> Image.Image:
    """The film turned or mirrored as its EXIF orientation asks."""
    if orientation not in _TRANSPOSES:
        return grey
    return grey.transpose(_TRANSPOSES[orientation])


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Warnings off for the whole process, one thread at a time."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
