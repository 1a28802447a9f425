"""Decodes a JPEG or PNG film into grey pixels of the network's size, or says why it cannot.

Training reads these two formats; `formats.py` reads more of them for prediction, by the same steps.
"""

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from pneumojax.decoding.decompression_limits import MAX_BYTES, in_turn
from pneumojax.decoding.film_error import FilmError, UnreadFile
from pneumojax.decoding.pillow import SIDEWAYS, load, open_film, orientation_of, upright
from pneumojax.decoding.preprocessing import Box, Preprocessing, resize_film


class Film(NamedTuple):
    """A film as the network sees it, and the size of the picture in its file."""

    pixels: np.ndarray  # uint8 (image_size, image_size)
    width: int  # of the upright picture in the file, pixels
    height: int


def decode_film(data: bytes, preprocessing: Preprocessing) -> Film:
    """Decodes a JPEG or PNG of any mode into one resized grey channel; raises as `decode_grey`."""
    image, has_metadata = open_film(data)
    width, height = image.size
    with in_turn(width, height):
        box = _reduce(image, preprocessing)
        grey = _load_grey(image)
        orientation = orientation_of(image, has_metadata)
        if box is None:
            grey = resize_film(upright(grey, orientation), preprocessing)
        else:  # the rectangle is that of the film before it is turned
            grey = upright(resize_film(grey, preprocessing, box), orientation)
        image.close()
    if orientation in SIDEWAYS:
        width, height = height, width
    return Film(np.array(grey), width, height)


def decode_grey(data: bytes) -> Image.Image:
    """Decodes a JPEG or PNG of any mode into an upright film of one channel, at full size.

    Alpha is ignored, 16 bits are scaled by their full range, the EXIF orientation is applied.

    Raises:
        FilmError: not a film, damaged, cut short, too small or too large.
    """
    image, has_metadata = open_film(data)
    with in_turn(*image.size):
        return upright(_load_grey(image), orientation_of(image, has_metadata))


def read_bytes(path: Path) -> bytes:
    """The contents of a regular file that is no larger than any film.

    Raises:
        FilmError: it is something else or larger; nothing has been read.
        UnreadFile: the file system does not deliver it.
    """
    try:
        # O_NONBLOCK: opening a pipe would otherwise wait for its other end.
        with open(path, "rb", opener=_open_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FilmError("not a file")
            if status.st_size > MAX_BYTES:
                raise FilmError(f"{status.st_size:,} bytes: too large")
            return stream.read()
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ENXIO):  # a folder; a socket
            raise FilmError("not a file") from error
        raise UnreadFile(f"cannot be read: {error.strerror}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _reduce(image: ImageFile.ImageFile, preprocessing: Preprocessing) -> Box | None:
    """If allowed, sets a large JPEG to be decoded at 1/2, 1/4 or 1/8 size, from its luma alone.

    Returns:
        The film's rectangle in the reduced picture, whose last column and row may stand for less
        than a whole pixel; None for a film that is decoded at full size.
    """
    side = preprocessing.image_size
    allowed = preprocessing.reduced_decode and preprocessing.resize == "bilinear_antialias"
    # A film that cannot be halved must get the same pixels as without `reduced_decode`, so the
    # decoder is not asked for luma ("L") either.
    if not allowed or min(image.size) < 2 * side:
        return None
    drafted = image.draft("L", (side, side))
    return drafted[1] if drafted else None


def _load_grey(image: ImageFile.ImageFile) -> Image.Image:
    load(image)
    if image.mode.startswith("I"):  # 16 bits, which convert("L") would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image.info.pop("transparency", None)  # or convert() warns about it
    return image.convert("L")
