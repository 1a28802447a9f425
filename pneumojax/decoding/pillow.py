"""Opens and decodes pictures with Pillow: checked headers, bounded metadata, no warnings."""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator

from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin

from pneumojax.decoding import tiff_directories
from pneumojax.decoding.chunks import png_fault
from pneumojax.decoding.decompression_limits import check_size
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.jpeg import read_header

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
_PROFILE = "Raw profile type exif"  # the key of EXIF that a PNG holds as text
_ORIENTATION_TAG = 0x0112
_TRANSPOSES = {  # EXIF orientation -> the operation that makes the film upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_warnings_lock = threading.Lock()


class BoundedExif(ImageFile.ImageFile):
    """A picture that returns no EXIF if reading it would fill the memory."""

    def getexif(self) -> Image.Exif:
        """As Pillow's method, but empty if the metadata are too costly."""
        if self.format == "PNG":
            self.load()  # the metadata may follow the pixels
        if "exif" not in self.info and _PROFILE in self.info:
            text = "".join(self.info[_PROFILE].split("\n")[3:])
            self.info["exif"] = bytes.fromhex(text)
        exif = self.info.get("exif", b"").removeprefix(b"Exif\0\0")
        if tiff_directories.are_too_costly(exif, nested=False):
            return Image.Exif()
        return super().getexif()


class _Jpeg(BoundedExif, JpegImagePlugin.JpegImageFile):
    scalable = False  # set from the frame header

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """As Pillow's method, but without effect if libjpeg-turbo cannot reduce the frame.

        For a lossless frame Pillow would shrink the buffer of a row, and libjpeg-turbo would write
        the whole row into it.
        """
        return super().draft(mode, size) if self.scalable else None


class _Png(BoundedExif, PngImagePlugin.PngImageFile):
    pass


def open_film(data: bytes) -> tuple[ImageFile.ImageFile, bool]:
    """Reads the header of a JPEG or PNG and checks its size.

    Returns:
        The picture, whose pixels are not decoded yet, and whether it may have metadata.

    Raises:
        FilmError: neither JPEG nor PNG, damaged, of several pictures, too small or too large.
    """
    if not data:
        raise FilmError("empty file")
    plugin: type[_Jpeg] | type[_Png]
    scalable = False
    if data.startswith(b"\xff\xd8\xff"):
        header = read_header(data)
        scalable = header.scalable
        if not scalable and header.precision != 8:
            raise FilmError(f"lossless JPEG of {header.precision} bits: only 8 bits outside DICOM")
        plugin, marks, behind_metadata = _Jpeg, [b"Exif", b"exif"], header.scan
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        if fault := png_fault(data):
            raise FilmError(f"PNG {fault}")
        plugin, marks, behind_metadata = _Png, [b"Exif", b"eXIf", b"exif", b"acTL"], len(data)
    else:
        raise FilmError("not a JPEG, PNG or DICOM file")
    # Warnings about metadata say nothing about the pixels. The filter that silences them is global
    # to the process and needs a lock, so films without metadata go without it.
    has_metadata = any(data.find(mark, 0, behind_metadata) >= 0 for mark in marks)
    with no_warnings() if has_metadata else contextlib.nullcontext():
        image = _read_header(plugin, data)
    image.decodermaxblock = len(data)  # decodes in one call, not block by block
    if isinstance(image, _Jpeg):
        image.scalable = scalable
    check_size(*image.size)
    return image, has_metadata


def _read_header(plugin: type[_Jpeg] | type[_Png], data: bytes) -> ImageFile.ImageFile:
    """Makes the plugin's object, without the warning about large pictures of `Image.open`."""
    try:
        return plugin(io.BytesIO(data))
    except Exception as error:  # damaged headers make Pillow raise nearly anything
        raise FilmError(f"damaged {plugin.format} header") from error


def load(image: Image.Image) -> None:
    """Decodes the pixels; raises FilmError if they are damaged or cut short."""
    try:
        image.load()
    except Exception as error:  # damaged files make Pillow raise nearly anything
        state = "truncated" if "truncated" in str(error) else "damaged"
        raise FilmError(f"{state} {image.format}") from error


def orientation_of(image: ImageFile.ImageFile, has_metadata: bool) -> int:
    """The EXIF orientation; 1 if there is none or it cannot be read."""
    if not has_metadata:
        return 1
    # Damaged EXIF is no reason to reject a film.
    with no_warnings(), contextlib.suppress(Exception):
        return image.getexif().get(_ORIENTATION_TAG, 1)
    return 1


def upright(grey: Image.Image, orientation: int) -> Image.Image:
    """Turns or mirrors a film as its EXIF orientation asks."""
    if orientation not in _TRANSPOSES:
        return grey
    return grey.transpose(_TRANSPOSES[orientation])


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Silences warnings for the whole process, for one thread at a time."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
