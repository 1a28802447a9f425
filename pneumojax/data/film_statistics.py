"""Statistics of films that do not depend on anatomy, of films as the network sees them.

A film that is larger in its file is shrunk more, which may make it sharper.
"""

import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.film_set import FilmSet

Floats = NDArray[np.float64]

DARK, BRIGHT = 16, 240  # a border pixel is dark below the first and bright from the second on
_BORDER = 20  # the border at each edge is a twentieth of the side wide
_BLOCK = 2_000_000  # pixels at a time: a few MB fit the processor's caches


class Statistic(NamedTuple):
    title: str
    meaning: str


STATISTICS = {
    "sharpness": Statistic("Sharpness", "variance of the Laplacian"),
    "vertical_difference": Statistic(
        "Vertical difference", "mean difference in grey of a pixel and the one below it"
    ),
    "brightness": Statistic("Brightness", "mean grey level"),
    "contrast": Statistic("Contrast", "standard deviation of grey levels"),
    "dark_border": Statistic("Dark border", f"share of the border below grey level {DARK}"),
    "bright_border": Statistic("Bright border", f"share of the border from grey level {BRIGHT}"),
    "file_size": Statistic("File size", "bytes of the file"),
    "width": Statistic("Width", "pixels of the film in the file"),
    "height": Statistic("Height", "pixels of the film in the file"),
    "aspect": Statistic("Aspect", "width / height"),
}


def film_statistics(films: FilmSet) -> dict[str, Floats]:
    """All `STATISTICS` by name, each (n,). The original files are only asked for their sizes."""
    side = max(films.images.shape[1], 1)
    step = max(1, _BLOCK // side**2)
    blocks = [
        pixel_statistics(films.pixels(np.arange(start, min(start + step, len(films)))))
        for start in range(0, max(len(films), 1), step)
    ]
    width, height = films.sizes.T.astype(np.float64)
    return {
        **{name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]},
        "file_size": np.array([os.path.getsize(films.root / p) for p in films.paths], np.float64),
        "width": width,
        "height": height,
        "aspect": width / height,
    }


def pixel_statistics(images: NDArray[np.uint8]) -> dict[str, Floats]:
    """The `STATISTICS` of pixels, (n,) each, from images uint8 (n, side, side).

    The Laplacian uses four neighbours, at pixels that have all four.
    """
    # 16-bit integers are exact here, and take a quarter of the memory of float64.
    grey = images.astype(np.int16)
    inner = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    laplacian -= 4 * inner
    steps = np.abs(grey[:, 1:] - grey[:, :-1])
    border = _border(images)
    return {
        "sharpness": _variance(laplacian),
        "vertical_difference": steps.mean(axis=(1, 2), dtype=np.float64),
        "brightness": images.mean(axis=(1, 2), dtype=np.float64),
        "contrast": np.sqrt(_variance(grey)),
        "dark_border": (border < DARK).mean(axis=1),
        "bright_border": (border >= BRIGHT).mean(axis=1),
    }


def _variance(values: NDArray[np.int16]) -> Floats:
    """The variance of each film's values (n,), from exact sums of integers."""
    exact = values.astype(np.float64)
    squares = np.einsum("ijk,ijk->i", exact, exact) / (exact.shape[1] * exact.shape[2])
    return np.maximum(squares - exact.mean(axis=(1, 2)) ** 2, 0.0)


def _border(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side = images.shape[1]
    edge = max(1, side // _BORDER)
    inside = np.zeros((side, side), bool)
    inside[edge:-edge, edge:-edge] = True
    return images[:, ~inside]
