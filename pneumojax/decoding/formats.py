"""Decodes films of all kinds: prediction reads JPEG, PNG, WebP, TIFF and DICOM.

Training and evaluation read JPEG, PNG and DICOM, which have the same pixels there. The contents of
a file decide its kind, and not its name.
"""

import io
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin, WebPImagePlugin

from pneumojax.decoding import tiff_directories
from pneumojax.decoding.chunks import webp_fault, webp_size
from pneumojax.decoding.decompression_limits import check_size, in_turn
from pneumojax.decoding.dicom_header import is_lateral
from pneumojax.decoding.film import decode_film, decode_grey
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.pillow import (
    BoundedExif,
    load,
    no_warnings,
    open_film,
    orientation_of,
    upright,
)
from pneumojax.decoding.preprocessing import Preprocessing, resize_film

KINDS = ("JPEG", "PNG", "WebP", "TIFF", "DICOM")
HEAD = 144  # bytes from the start of a file that tell its kind
_OTHERS = {  # signatures of other files, for a clearer message
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000 outside DICOM",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
}
_ARCHIVES = ("ZIP", "gzip")
_SMALL = 64  # pixels; the longest side of the copy in which colour is measured
_BITS_TAG, _PHOTOMETRIC_TAG = 258, 262  # of TIFF
_TILE_TAGS = (322, 323)  # width and height
_LARGEST_TILE = 1 << 20  # pixels; a film smaller than this may lie in one larger tile
_WHITE_IS_ZERO = 0


class _WebP(BoundedExif, WebPImagePlugin.WebPImageFile):
    pass


class AnyFilm(NamedTuple):
    """A film as the network sees it, and the facts about its file."""

    pixels: np.ndarray  # uint8 (image_size, image_size)
    width: int  # of the upright film in the file, pixels
    height: int
    colour: float  # mean distance of a pixel's channels from each other, 0 to 255; 0 for grey
    lateral: bool = False  # whether a DICOM header says that the film is a lateral view


class TrainingFilm(NamedTuple):
    """A film for training or evaluation, and the facts about its file."""

    pixels: np.ndarray  # uint8 (image_size, image_size)
    width: int  # of the upright film in the file, pixels
    height: int
    header: dict[str, str]  # texts of a DICOM header by keyword; {} for other kinds


def kind_of(head: bytes) -> str | None:
    """One of `KINDS`, by the first `HEAD` bytes of a file; None for a file of another kind."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    # The preamble of a DICOM file may be a TIFF header (PS3.10, 7.1), so the mark behind it counts.
    if _is_dicom(head):
        return "DICOM"
    return "TIFF" if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else None


def _is_dicom(head: bytes) -> bool:
    if head[128:132] == b"DICM":
        return True
    # Without a preamble a file begins with an element of group 2 or 8, with or without a type.
    if head[:2] not in (b"\x02\x00", b"\x08\x00") or head[3:4] != b"\x00":
        return False
    typed = head[4:6].isalpha() and head[4:6].isupper()
    return typed or int.from_bytes(head[4:8].ljust(4, b"\xff"), "little") < 1024


def decode_any(data: bytes, preprocessing: Preprocessing) -> AnyFilm:
    """Decodes one film of any of `KINDS`.

    Alpha is ignored, 16 bits are scaled by their full range (for DICOM see `decode_dicom`), and
    the film is turned upright if the file says how.

    Raises:
        FilmError: of another kind, damaged, cut short, too small, too large or of several pictures.
    """
    kind = _known(data)
    if kind in ("JPEG", "PNG"):
        pixels, width, height = decode_film(data, preprocessing)
        with in_turn(width, height):
            return AnyFilm(pixels, width, height, _colour(open_film(data)[0]))
    if kind == "DICOM":
        picture, header = _decode_dicom(data)
        grey, colour = picture.convert("L"), _colour(picture)
        lateral = is_lateral(header)
    else:
        grey, colour = _decode_more(data, kind)
        lateral = False
    return AnyFilm(np.array(resize_film(grey, preprocessing)), *grey.size, colour, lateral)


def decode_any_grey(data: bytes) -> Image.Image:
    """As `decode_any`, but at full size: the upright film of one channel, for display."""
    kind = _known(data)
    if kind in ("JPEG", "PNG"):
        return decode_grey(data)
    return _decode_dicom(data)[0].convert("L") if kind == "DICOM" else _decode_more(data, kind)[0]


def decode_training_film(
    data: bytes, preprocessing: Preprocessing, texts: Collection[str] = ()
) -> TrainingFilm:
    """Decodes a JPEG, PNG or DICOM film to the same pixels as `decode_any`.

    `texts` are the keywords of the elements of a DICOM header to read beside ViewPosition.

    Raises:
        FilmError: of another kind, damaged, cut short, too small, too large or of several pictures.
    """
    if kind_of(data[:HEAD]) != "DICOM":
        return TrainingFilm(*decode_film(data, preprocessing), {})
    picture, header = _decode_dicom(data, texts)
    grey = picture.convert("L")
    return TrainingFilm(np.array(resize_film(grey, preprocessing)), *grey.size, header)


def _known(data: bytes) -> str:
    if not data:
        raise FilmError("empty file")
    kind = kind_of(data[:HEAD])
    if kind is None:
        named = next((name for mark, name in _OTHERS.items() if data.startswith(mark)), None)
        what = f"a {named} file" if named else "not a picture"
        if named in _ARCHIVES:
            raise FilmError(f"{what}: unpack it first")
        raise FilmError(f"{what}: only {', '.join(KINDS[:-1])} and {KINDS[-1]} are read")
    return kind


def _decode_dicom(data: bytes, texts: Collection[str] = ()) -> tuple[Image.Image, dict[str, str]]:
    from pneumojax.decoding.dicom import decode_dicom  # slow to import

    return decode_dicom(data, texts)


def _decode_more(data: bytes, kind: str) -> tuple[Image.Image, float]:
    """The upright film of one channel and its colour, for WebP and TIFF."""
    plugin = _WebP if kind == "WebP" else TiffImagePlugin.TiffImageFile
    if kind == "TIFF" and tiff_directories.are_too_costly(data):
        raise FilmError("damaged TIFF header")
    if kind == "WebP" and (fault := webp_fault(data)):
        raise FilmError(f"WebP {fault}")
    if kind == "WebP" and (size := webp_size(data)):
        check_size(*size)
    with no_warnings():  # Pillow may warn about metadata
        try:
            image: ImageFile.ImageFile = plugin(io.BytesIO(data))
        except Exception as error:  # damaged headers make Pillow raise nearly anything
            raise FilmError(f"damaged {kind} header") from error
    # `n_frames` would make Pillow read the directory of every picture.
    if getattr(image, "is_animated", False):
        raise FilmError(f"{kind} of several pictures: only single films")
    check_size(*image.size)
    if kind == "TIFF":
        _check_tiles(image)
    with in_turn(*image.size):
        turned = 1 if kind == "TIFF" else orientation_of(image, True)  # Pillow turns TIFF itself
        load(image)
        grey = _tiff_grey(image) if kind == "TIFF" else image.convert("L")
        return upright(grey, turned), _colour(image)


def _check_tiles(image: ImageFile.ImageFile) -> None:
    """Raises FilmError for tiles much larger than the film, since libtiff unpacks whole tiles."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    sides = [tags.get(tag, 0) for tag in _TILE_TAGS]
    if not all(isinstance(side, int) for side in sides):
        raise FilmError("damaged TIFF header")
    if sides[0] * sides[1] > max(image.width * image.height, _LARGEST_TILE):
        raise FilmError("TIFF with tiles much larger than the film")


def _tiff_grey(image: ImageFile.ImageFile) -> Image.Image:
    if image.mode in ("I", "F"):
        raise FilmError("TIFF of signed, 32-bit or floating-point pixels: only 1 to 16 bits")
    if not image.mode.startswith("I;16"):
        return image.convert("L")
    tags = image.tag_v2  # type: ignore[attr-defined]
    grey = np.asarray(image).astype(np.uint16) >> (tags[_BITS_TAG][0] - 8)
    if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO:  # Pillow inverts 8 bits but not 16
        grey = 255 - grey
    return Image.fromarray(grey.astype(np.uint8))


def _colour(image: Image.Image) -> float:
    """The `colour` of `AnyFilm`, measured in a small copy, which costs little."""
    if len(image.getbands()) < 3 and image.mode not in ("P", "PA"):
        return 0.0
    if image.format == "JPEG":
        image.draft("RGB", (_SMALL, _SMALL))
    load(image)
    image.info.pop("transparency", None)  # or convert() warns about it
    small = image.convert("RGB")
    small.thumbnail((_SMALL, _SMALL), Image.Resampling.BOX)
    channels = np.asarray(small, np.float64)
    return float(np.mean(channels.max(axis=-1) - channels.min(axis=-1)))
