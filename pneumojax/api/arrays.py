"""Checks arrays of pixels, and writes them as PNG, so that one decoder reads films of every kind.

An array in another range or order than expected would be answered without a sign that the answer
means nothing. So everything that is not clearly a film is refused with what was found.
"""

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumojax.decoding.decompression_limits import MIN_SIDE, check_size
from pneumojax.decoding.film_error import FilmError
from pneumojax.errors import UserError

SHAPES = "(h, w), (n, h, w), (h, w, 3) or (n, h, w, 1 or 3)"
_CHANNELS, _WITH_ALPHA = (1, 3), 4
_TOLERANCE = 1e-3  # of the range; resizing overshoots by less, and it is a quarter of a grey level
_ALIKE = 8.0  # mean difference of grey levels; the channels of a grey film in colour differ by less


class ValueRange(NamedTuple):
    """The values of black and of white in an array of floats."""

    black: float
    white: float


def films_in(array: NDArray, name: str, value_range: ValueRange | None) -> list[NDArray]:
    """The films of an array: uint8 (h, w), uint8 (h, w, 3) or uint16 (h, w) each.

    The array is uint8, uint16, or of floats with a `value_range`, which are scaled to uint8. Its
    shape is one of `SHAPES`. Raises UserError for any other, with `name` and what was found.
    """
    found = f"{name} is {array.dtype} {array.shape}"
    films = _stacked(array, found)
    if array.dtype.kind == "f":
        films = _scaled(films, name, value_range)
    elif array.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{found}: pass uint8, uint16, or floats with value_range=(black, white)")
    elif value_range is not None:
        raise UserError(f"{found}: value_range is for floats, so leave it out")
    if films.shape[-1] == 1:
        films = films[..., 0]
    elif films.dtype == np.uint16:
        films = (films >> 8).astype(np.uint8) if films.ndim == 4 else films
    return list(films)


def png_of(film: NDArray) -> bytes:
    """A film of `films_in` as a PNG of the same pixels."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(film)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _stacked(array: NDArray, found: str) -> NDArray:
    """The array as (n, h, w) or (n, h, w, 1 or 3); raises UserError for any other shape."""
    shape = array.shape
    has_channels = len(shape) in (3, 4) and shape[-1] in _CHANNELS
    is_grey_stack = len(shape) == 3 and shape[-1] != _WITH_ALPHA
    if len(shape) == 2 or (len(shape) == 3 and has_channels):
        array = array[None]
    elif not (is_grey_stack or has_channels):
        raise UserError(f"{found}: {_remedy(shape)}")
    if array.ndim == 3 and len(array) == 3 and _are_channels(array):
        raise UserError(
            f"{found}: its three films are alike, as the channels of one film are; pass one of "
            "them, or a list of three films"
        )
    if not len(array):
        raise UserError(f"{found}: it holds no film")
    try:
        check_size(array.shape[2], array.shape[1])
    except FilmError as error:
        raise UserError(f"{found}: {error}; a side has at least {MIN_SIDE} pixels") from error
    return array


def _remedy(shape: tuple[int, ...]) -> str:
    """How to turn an array that is no stack of films into one."""
    if len(shape) in (3, 4) and shape[-1] == _WITH_ALPHA:
        return "leave alpha out by array[..., :3]"
    if len(shape) == 4 and shape[1] in _CHANNELS:
        return "its channels come first; np.moveaxis(array, 1, -1) puts them last"
    return f"pass {SHAPES}"


def _are_channels(films: NDArray) -> bool:
    """Whether films (3, h, w) are so alike that they must be the channels of one film."""
    values = films.astype(np.float32)
    spread = np.ptp(values)
    if not np.isfinite(spread) or spread == 0:
        return False
    largest = 255 if films.dtype == np.uint8 else spread
    return bool(np.ptp(values, axis=0).mean() * 255 / largest < _ALIKE)


def _scaled(films: NDArray, name: str, value_range: ValueRange | None) -> NDArray[np.uint8]:
    """Floats as grey levels; raises UserError for values that are not in the range."""
    if not np.isfinite(films).all():
        raise UserError(f"{name} has values that are NaN or infinite")
    low, high = float(films.min()), float(films.max())
    found = f"{name} is {films.dtype} with values from {low:g} to {high:g}"
    if value_range is None:
        raise UserError(f"{found}: say which are black and white, such as value_range=(0, 1)")
    black, white = value_range
    margin = _TOLERANCE * (white - black)
    if low < black - margin or high > white + margin:
        raise UserError(f"{found}, outside value_range=({black:g}, {white:g})")
    # In float64, so that floats made from grey levels give the same levels back.
    shares = (films.astype(np.float64) - black) / (white - black)
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
