"""Decodes files of films into the array that a network takes."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.isolation.films import FilmDecoder


def read_films(files: Sequence[Path], preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Decodes JPEG, PNG, WebP, TIFF and DICOM files in child processes to uint8 (n, side, side)."""
    side = preprocessing.image_size

    def read(file: Path) -> NDArray[np.uint8]:
        try:
            return decoder.decode(read_bytes(file), preprocessing).film.pixels
        except FilmError as error:
            raise UserError(f"{str(file)!r}: {error}") from error

    with FilmDecoder(len(files)) as decoder, ThreadPoolExecutor(os.cpu_count()) as threads:
        return np.array(list(threads.map(read, files)), np.uint8).reshape(-1, side, side)
