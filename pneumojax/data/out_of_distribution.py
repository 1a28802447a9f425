"""Tells whether a picture is unlike the films that the network was trained on.

A few statistics describe a film at the size that the network sees. Their mean and covariance over
the training films give a distance (Mahalanobis 1936), and a high quantile of the training films'
distances is the limit. A picture beyond the limit is unlike the training films. A picture within
it may still be no film at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pneumojax.data.film_set import FilmSet
from pneumojax.decoding.formats import AnyFilm

QUANTILE = 0.995  # of the training films' distances
LEAST_FILMS = 200  # fewer films are too few to fit a distribution
MOST_FILMS = 2_500  # taken evenly from all training films; more do not improve the fit
MOST_COLOUR = 8.0  # mean distance of a pixel's channels, 0 to 255; JPEG adds 1 or 2 to a grey film
LEAST_CONTRAST = 4.0  # standard deviation of grey levels; a picture below is blank
BANDS = 8  # bands across and down a film, whose mean brightness gives its profiles
STATISTICS = 2 * BANDS + 5  # the length of a row of `statistics`
_AT_ONCE = 256


@dataclass(frozen=True)
class TrainingDistribution:
    """The distribution of the training films' statistics."""

    mean: list[float]  # of each of the `statistics`
    # Rows of a matrix that takes deviations from the mean to a space in which the covariance of the
    # training films is 1.
    whitening: list[list[float]]
    limit: float  # the distance that `QUANTILE` of the training films do not exceed
    films: int  # the number of films that it was fitted on

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> "TrainingDistribution | None":
        """Reads the distribution in a checkpoint's metadata; None if it was not fitted."""
        return cls(**meta["scope"]) if meta.get("scope") else None

    def distances(self, images: np.ndarray) -> np.ndarray:
        """The distance of each image, uint8 (n, s, s), from the mean: float64 (n,).

        For a training film it is about the root of the number of statistics.
        """
        deviations = statistics(images) - np.array(self.mean)
        return np.linalg.norm(deviations @ np.array(self.whitening).T, axis=1)


def fit_distribution(films: FilmSet) -> dict[str, Any] | None:
    """Fits a `TrainingDistribution`, as a dict for JSON; None for too few films."""
    chosen = np.unique(np.linspace(0, len(films) - 1, MOST_FILMS).round().astype(int))
    if len(chosen) < LEAST_FILMS:
        return None
    parts = np.array_split(chosen, max(1, len(chosen) // _AT_ONCE))
    return asdict(fit(np.concatenate([statistics(films.pixels(part)) for part in parts])))


def fit(described: np.ndarray) -> TrainingDistribution:
    """Fits a distribution to statistics (n, k) of n films."""
    mean = described.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(described, rowvar=False))
    # The floor keeps a direction that hardly varies among the films from outweighing all others.
    variances = np.maximum(variances, 1e-4 * variances.mean())
    whitening = (directions / np.sqrt(variances)).T
    distances = np.linalg.norm((described - mean) @ whitening.T, axis=1)
    limit = float(np.quantile(distances, QUANTILE))
    return TrainingDistribution(mean.tolist(), whitening.tolist(), limit, len(described))


def statistics(images: np.ndarray) -> np.ndarray:
    """Describes each image, uint8 (n, s, s), by a row of numbers: float64 (n, STATISTICS).

    The numbers, from about 0 to 1, are: mean and standard deviation of the grey levels; mean
    brightness of bands across and down, less the film's own mean and divided by its contrast;
    correlation with the mirror image; mean difference of neighbours down and across.
    """
    grey = images.astype(np.float32) / 255
    mean, sd = grey.mean(axis=(1, 2)), grey.std(axis=(1, 2))
    visible = np.maximum(sd, 1e-3)
    profiles = [
        (band.mean(axis=1) - mean) / visible
        for axis in (2, 1)  # the means of rows form the profile from top to bottom
        for band in np.array_split(grey.mean(axis=axis), BANDS, axis=1)
    ]
    mirrored = (
        np.einsum("nij,nij->n", grey, grey[:, :, ::-1]) / grey[0].size - mean**2
    ) / visible**2
    steps = [np.abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    columns = [mean, sd, *profiles, mirrored, *(np.log(step + 1e-3) for step in steps)]
    return np.stack(columns, axis=1).astype(np.float64)


def warnings_about(
    films: Sequence[AnyFilm], distribution: TrainingDistribution | None
) -> list[list[str]]:
    """The reasons why a prediction may be meaningless, for each film.

    Without a distribution no film is compared with the training films.
    """
    if not films:
        return []
    distances, limit = np.zeros(len(films)), np.inf
    if distribution is not None:
        distances = distribution.distances(np.stack([film.pixels for film in films]))
        limit = distribution.limit
    return [_warnings(film, far, limit) for film, far in zip(films, distances, strict=True)]


def _warnings(film: AnyFilm, distance: float, limit: float) -> list[str]:
    found = []
    side = film.pixels.shape[0]
    if film.colour > MOST_COLOUR:
        found.append("a colour picture")
    if film.lateral:
        found.append("a lateral view by its DICOM header; the network is meant for frontal films")
    if min(film.width, film.height) < side:
        found.append(f"tiny: {film.width} x {film.height} pixels, the network sees {side} x {side}")
    if film.pixels.std() < LEAST_CONTRAST:
        found.append("blank")
    elif distance > limit:
        found.append(f"unlike the training films ({distance:.1f}, limit {limit:.1f})")
    return found
