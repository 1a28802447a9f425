"""The protocol of an audit: the subject that it examines, and the finding that it returns."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.film_set import FilmSet
from pneumojax.data.film_statistics import film_statistics
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.report.section import Picture, Section
from pneumojax.inference.decision import Decision
from pneumojax.inference.forward import make_batched
from pneumojax.inference.gradcam import make_explainer
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.stats.metrics import Floats

Explain = Callable[[dict, NDArray[np.uint8]], tuple[NDArray, NDArray]]
_EXPLAINED_AT_ONCE = 16


@dataclass(frozen=True)
class Subject:
    """A network and the films that it has scored.

    trained: the run of the network, or the first run if several networks answer together.
    score: returns the logits (n,) of other films, such as these films after a change.
    """

    trained: TrainedRun
    decision: Decision
    films: FilmSet
    predictions: Predictions
    score: Callable[[FilmSet], NDArray]

    @cached_property
    def statistics(self) -> Mapping[str, Floats]:
        return film_statistics(self.films)

    @cached_property
    def explain(self) -> Explain | None:
        """Computes logits (n,) and Grad-CAM maps (n, h, w) from parameters and images (n, h, w).

        One compiled function takes any number of images. None for a network without maps.
        """
        network, mesh = self.trained.network, self.trained.mesh
        if not network.explains:
            return None
        batch = math.ceil(_EXPLAINED_AT_ONCE / mesh.size) * mesh.size
        return make_batched(make_explainer(network, mesh), mesh, batch)


class Finding(Protocol):
    """The result of an audit: a frozen dataclass that stores, describes and draws itself."""

    def record(self) -> Mapping[str, Any]:
        """The entries for metrics.json, by key."""

    def section(self) -> Section:
        """The section of the report, which refers to the pictures by name."""

    def pictures(self) -> Mapping[str, Picture]:
        """Charts, and captioned pictures of films, by name."""


# An audit returns None if it does not apply to the network.
Audit = Callable[[Subject], Finding | None]
