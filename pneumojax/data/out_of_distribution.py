"""Is this a film like those that the network was trained on? A simple check, fitted on them.

A few statistics describe a film at the size that the network sees. Their mean and covariance over
the training films give a distance (Mahalanobis 1936), and a high quantile of it the limit. It says
that a picture is unlike the training films, never that a film is fit to be read.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pneumojax.data.cache import FilmSet
from pneumojax.decoding.formats import AnyFilm

QUANTILE = 0.995  # of the training films' distances
LEAST_FILMS = 200  # fewer do not tell what is usual
MOST_FILMS = 2_500  # more do not tell it better, and are taken evenly from all
MOST_COLOUR = 8.0  # mean distance of a pixel's channels, 0 to 255; JPEG adds 1 or 2 to a grey film
LEAST_CONTRAST = 4.0  # standard deviation of grey levels; below, there is nothing to see
BANDS = 8  # across and down, of whose mean brightness a film's profiles consist
STATISTICS = 2 * BANDS + 5  # that describe a film, see `statistics`
_AT_ONCE = 256


@dataclass(frozen=True)
class Scope:
    """What is usual among the training films.

    mean: of each statistic, see `statistics`.
    whitening: rows of the matrix that takes deviations to a space where the films' covariance is 1.
    limit: distance that `QUANTILE` of the training films do not exceed.
    films: how many it was fitted on.
    """

    mean: list[float]
    whitening: list[list[float]]
    limit: float
    films: int

    def distances(self, images: np.ndarray) -> np.ndarray:
        """Of uint8 images (n, s, s): float64 (n,), about the root of the number of statistics."""
        deviations = statistics(images) - np.array(self.mean)
        return np.linalg.norm(deviations @ np.array(self.whitening).T, axis=1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `Scope(**d)` reads it back."""
        return asdict(self)


def fit_scope(films: FilmSet) -> dict[str, Any] | None:
    """A `Scope` of training films as a dict, or None where they are too few."""
    chosen = np.unique(np.linspace(0, len(films) - 1, MOST_FILMS).round().astype(int))
    if len(chosen) < LEAST_FILMS:
        return None
    parts = np.array_split(chosen, max(1, len(chosen) // _AT_ONCE))
    return fit(np.concatenate([statistics(films.pixels(part)) for part in parts])).as_dict()


def fit(described: np.ndarray) -> Scope:
    """A scope of statistics (n, k) of n films."""
    mean = described.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(described, rowvar=False))
    # A statistic that hardly varies among the films must not count without end.
    variances = np.maximum(variances, 1e-4 * variances.mean())
    whitening = (directions / np.sqrt(variances)).T
    distances = np.linalg.norm((described - mean) @ whitening.T, axis=1)
    limit = float(np.quantile(distances, QUANTILE))
    return Scope(mean.tolist(), whitening.tolist(), limit, len(described))


def statistics(images: np.ndarray) -> np.ndarray:
    """Of uint8 images (n, s, s): float64 (n, k), each about 0 to 1.

    Mean and standard deviation of the grey levels; mean brightness of bands across and down, after
    the film's own mean and contrast are taken out; likeness to its mirror image; mean difference
    of neighbours down and across.
    """
    grey = images.astype(np.float32) / 255
    mean, sd = grey.mean(axis=(1, 2)), grey.std(axis=(1, 2))
    visible = np.maximum(sd, 1e-3)
    profiles = [
        (band.mean(axis=1) - mean) / visible
        for axis in (2, 1)  # the mean of each row tells what changes downwards
        for band in np.array_split(grey.mean(axis=axis), BANDS, axis=1)
    ]
    mirrored = (
        np.einsum("nij,nij->n", grey, grey[:, :, ::-1]) / grey[0].size - mean**2
    ) / visible**2
    steps = [np.abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    columns = [mean, sd, *profiles, mirrored, *(np.log(step + 1e-3) for step in steps)]
    return np.stack(columns, axis=1).astype(np.float64)


def warnings_about(films: Sequence[AnyFilm], scope: Scope | None) -> list[list[str]]:
    """Why a prediction may mean nothing, for each film; empty where nothing is unusual.

    Without a scope nothing is said about likeness to the training films.
    """
    if not films:
        return []
    distances = np.zeros(len(films))
    if scope is not None:
        distances = scope.distances(np.stack([film.pixels for film in films]))
    return [
        _warnings(film, float(distance), scope)
        for film, distance in zip(films, distances, strict=True)
    ]


def _warnings(film: AnyFilm, distance: float, scope: Scope | None) -> list[str]:
    found = []
    side = film.pixels.shape[0]
    if film.colour > MOST_COLOUR:
        found.append("a colour picture")
    if min(film.width, film.height) < side:
        found.append(f"tiny: {film.width} x {film.height} pixels, the network sees {side} x {side}")
    if film.pixels.std() < LEAST_CONTRAST:
        found.append("blank")
    elif scope is not None and distance > scope.limit:
        found.append(f"unlike the training films ({distance:.1f}, limit {scope.limit:.1f})")
    return found
