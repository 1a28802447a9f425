"""Groups training films by how they were acquired, as a stand-in for films of other machines.

A machine and its archive leave their mark on sharpness, contrast, borders and file size, whatever
the film shows. Films that are alike in these form a style. A network that is scored on a style
that it was not trained on meets films that look unlike its own, and so does a network in another
hospital.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.film_set import FilmSet
from pneumojax.data.film_statistics import film_statistics
from pneumojax.data.hold_out import patient_groups
from pneumojax.errors import UserError

SIDE = 224  # pixels at which films are described, so that styles do not depend on a network
# Statistics of a film's acquisition, and whether their logarithm is taken. Width and height tell
# the machine best, but copies of one size have lost them.
_DESCRIBED = {
    "sharpness": True,
    "vertical_difference": True,
    "brightness": False,
    "contrast": False,
    "dark_border": False,
    "bright_border": False,
    "file_size": True,
    "width": True,
    "height": True,
}
_MOST = 3.0  # standard deviations; beyond them, a few odd films would form styles of their own
_TRIES = 20  # of k-means, whose result depends on where it starts


def styles_of(films: FilmSet, count: int) -> NDArray[np.int64]:
    """The style of each film, int64 (n,) from 0, the most frequent style first.

    All films of a patient get one style. The same films give the same styles on one machine.

    Raises:
        UserError: there are fewer patients than styles.
    """
    described = described_by_class(film_statistics(films), films.labels)
    members = list(patient_groups(films.patients, films.digests).values())
    if len(members) < count:
        raise UserError(f"--styles: {len(members)} patients cannot have {count} styles")
    clusters = _k_means(np.stack([described[group].mean(axis=0) for group in members]), count)
    style = np.zeros(len(films), np.int64)
    for group, cluster in zip(members, clusters, strict=True):
        style[group] = cluster
    order = np.argsort(-np.bincount(style, minlength=count), kind="stable")
    return np.argsort(order)[style]


def described_by_class(statistics: Mapping[str, NDArray], labels: NDArray) -> NDArray:
    """Standardised statistics of acquisition, float64 (n, k).

    Each class is standardised by itself. Consolidated lungs are softer than clear ones, so that
    styles of films as they are would be little else than the two classes.
    """
    columns = []
    for name, takes_log in _DESCRIBED.items():
        values = np.log1p(statistics[name]) if takes_log else statistics[name]
        column = np.zeros(len(labels))
        for label in (0, 1):
            of_class = values[labels == label]
            spread = of_class.std() if of_class.size else 0.0
            if spread > 0:
                column[labels == label] = (of_class - of_class.mean()) / spread
        columns.append(np.clip(column, -_MOST, _MOST))
    return np.stack(columns, axis=1)


def _k_means(points: NDArray, count: int) -> NDArray:
    """The cluster of each point (n, k), int64 (n,), by the best of `_TRIES` starts."""
    from scipy.cluster.vq import kmeans2  # slow to import, and prediction imports this module too

    best, least = np.zeros(len(points), np.int64), np.inf
    for attempt in range(_TRIES):
        rng = np.random.default_rng([attempt])
        centres, nearest = kmeans2(points, count, minit="++", iter=50, seed=rng, missing="warn")
        error = float(np.sum((points - centres[nearest]) ** 2))
        if error < least:
            best, least = nearest.astype(np.int64), error
    return best
