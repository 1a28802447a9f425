"""Finds the films in whatever a program passes: paths, arrays, pictures and DICOM data sets.

Films in memory are handed to the decoder as the bytes of a PNG or DICOM file, so they get the same
pixels, warnings and errors as files.
"""

import io
import os
import sys
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumojax.api.arrays import ValueRange, films_in, png_of
from pneumojax.data.naming import Columns
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.pillow import no_warnings
from pneumojax.errors import UserError
from pneumojax.predict.reading import ReadFilm
from pneumojax.predict.sources import DEFAULT_COLUMNS, Sources

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    Film = str | os.PathLike[str] | NDArray[Any] | Image.Image | Dataset
    Films = Film | Iterable[Film]

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_TAKEN = "paths, arrays, PIL pictures and pydicom data sets"


def films_of(
    films: "Films", value_range: tuple[float, float] | None, columns: Columns = DEFAULT_COLUMNS
) -> list[ReadFilm]:
    """The films in order, not read yet: files as they are found, others with a name by position.

    `columns` are the names of the columns of tables.

    Raises:
        UserError: a path does not exist, an array is not of films, there is no film, or an item is
            of another kind.
    """
    in_item = partial(_in_item, value_range=_checked(value_range), columns=columns)
    if _is_one(films):
        found = in_item(films, _kind(films))
    elif isinstance(films, Iterable) and not isinstance(films, bytes | dict):
        items = enumerate(films)
        found = [film for i, item in items for film in in_item(item, f"films[{i}]")]
    else:
        raise UserError(f"films are {_TAKEN}, or a list of them, not {type(films).__name__}")
    if not found:
        raise UserError(f"there is no film in what was passed; films are {_TAKEN}")
    return found


def _checked(value_range: tuple[float, float] | None) -> ValueRange | None:
    if value_range is None:
        return None
    try:
        black, white = map(float, value_range)
    except (TypeError, ValueError):
        black = white = np.nan
    if not (np.isfinite([black, white]).all() and black < white):
        raise UserError(f"value_range is {value_range!r}; pass the values of black and of white")
    return ValueRange(black, white)


def _is_one(films: Any) -> bool:
    """Whether an object is a path, an array or a film, and not a list of them."""
    if isinstance(films, str | os.PathLike | Image.Image) or _is_dicom(films):
        return True
    return hasattr(films, "__array__") and np.asarray(films).dtype.kind not in "OUT"


def _kind(film: Any) -> str:
    """The name of a film in memory that is not part of a list."""
    if isinstance(film, Image.Image):
        return "picture"
    return "data set" if _is_dicom(film) else "array"


def _is_dicom(film: Any) -> bool:
    # Only a program that has imported pydicom can pass one of its data sets.
    pydicom = sys.modules.get("pydicom.dataset")
    return pydicom is not None and isinstance(film, pydicom.Dataset)


def _in_item(
    item: Any, name: str, value_range: ValueRange | None, columns: Columns
) -> list[ReadFilm]:
    if isinstance(item, str | os.PathLike):
        return list(map(ReadFilm.of_file, Sources([os.fspath(item)], columns).films()))
    if isinstance(item, Image.Image):
        shown = getattr(item, "filename", "") or name
        return [ReadFilm(os.fsdecode(shown), "", load=partial(_picture_bytes, item))]
    if _is_dicom(item):
        return [ReadFilm(name, "", load=partial(_dicom_bytes, item))]
    if not hasattr(item, "__array__"):
        raise UserError(f"{name} is {type(item).__name__}; films are {_TAKEN}")
    array = np.asarray(item)
    films = films_in(array, name, value_range)
    is_stack = array.ndim == 4 or (array.ndim == 3 and array.shape[-1] not in (1, 3))
    names = [f"{name}[{i}]" for i in range(len(films))] if is_stack else [name]
    return [
        ReadFilm(shown, "", load=partial(png_of, film))
        for shown, film in zip(names, films, strict=True)
    ]


def _picture_bytes(picture: Image.Image) -> bytes:
    """A picture as PNG, with its EXIF orientation; raises FilmError if it has no grey levels."""
    try:
        with no_warnings():
            exif = picture.getexif()
            if picture.mode in _DEEP_MODES:
                values = np.asarray(picture)
                if values.min() < 0 or values.max() > 65535:
                    raise FilmError(f"picture with values from {values.min()} to {values.max()}")
                picture = Image.fromarray(values.astype(np.uint16))
            elif picture.mode == "F":
                raise FilmError("picture of floats: pass np.asarray(picture) and a value_range")
            elif picture.mode not in _PNG_MODES:
                picture = picture.convert("RGB")
            stream = io.BytesIO()
            picture.save(stream, "PNG", exif=exif, compress_level=1)
    except FilmError:
        raise
    except Exception as error:  # a picture is decoded only now, and Pillow may raise anything
        raise FilmError(f"damaged {picture.format or 'picture'}") from error
    return stream.getvalue()


def _dicom_bytes(dataset: "Dataset") -> bytes:
    """A data set as a DICOM file; raises FilmError if it cannot be written as one."""
    stream = io.BytesIO()
    has_syntax = "TransferSyntaxUID" in getattr(dataset, "file_meta", ())
    try:
        with no_warnings():
            if has_syntax:
                dataset.save_as(stream)
            else:  # as in a data set that a program has made
                dataset.save_as(stream, implicit_vr=False, little_endian=True)
    except Exception:  # pydicom raises nearly anything, and its messages may quote the patient
        raise FilmError("DICOM data set that cannot be written as a file") from None
    return stream.getvalue()
