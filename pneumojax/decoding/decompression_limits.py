"""Limits on what a small file may cost its decoder, checked before it is decoded.

Few bytes can take much memory or time through a large picture, or through counts in a header.
"""

import contextlib
import threading
from collections.abc import Iterator

from pneumojax.decoding.film_error import FilmError

MIN_SIDE = 16  # pixels; no radiograph is smaller
MAX_BYTES = 1 << 30  # of a file; the largest accepted film needs less
MAX_PIXELS = 100_000_000  # of a film
LARGE = 25_000_000  # pixels; larger films are decoded one at a time

MAX_SCANS = 256  # of a JPEG; each is a pass, and the standard progressions have about ten
MOST_NUMBERS = 200_000  # in one value of a TIFF; Pillow takes 5 us for each strip or tile
MAX_ENTRIES = 4096  # of a TIFF directory; Pillow takes some microseconds for each
MAX_DIRECTORIES = 16  # that are followed; there are four kinds, and one of each is usual
MAX_TILES = 4096  # of a JPEG 2000 film
MAX_CELLS = 1 << 18  # precincts and code blocks of one; the largest film in blocks of 32 x 32
MAX_PACKETS = 1 << 22  # precincts and code blocks times layers of quality

_large = threading.Lock()


def check_size(width: int, height: int) -> None:
    """Raises FilmError for a size in pixels that no film has. Call it before decoding."""
    if min(width, height) < MIN_SIDE:
        raise FilmError(f"{width} x {height} pixels: too small")
    if width * height > MAX_PIXELS:
        raise FilmError(f"{width} x {height} pixels: too large")


@contextlib.contextmanager
def in_turn(width: int, height: int) -> Iterator[None]:
    """Lets threads decode large films one at a time, since several could fill the memory."""
    with _large if width * height > LARGE else contextlib.nullcontext():
        yield
