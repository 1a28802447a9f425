"""From one decoded film to all that a page shows of it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from pneumojax.data.out_of_distribution import TrainingDistribution, warnings_about
from pneumojax.inference.gradcam import make_explainer
from pneumojax.inference.overlay import overlay
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.isolation.films import Decoded

LARGEST_SIDE = 640  # pixels of the pictures shown


class Reading(NamedTuple):
    """The network's answer to one film.

    probability: calibrated, of PNEUMONIA.
    pneumonia: whether it is called so.
    warnings: the reasons why the probability may mean nothing.
    film: as people see it, upright, of one channel, no side above `LARGEST_SIDE`.
    evidence: the same with the evidence on it, RGB; None where nothing speaks for pneumonia.
    """

    probability: float
    pneumonia: bool
    warnings: list[str]
    film: Image.Image
    evidence: Image.Image | None


def make_reader(trained: TrainedRun) -> Callable[[Decoded], Reading]:
    """A function that reads one decoded film; it compiles the network at its first call.

    The film must be decoded by the run's preprocessing, with a preview of `LARGEST_SIDE`.
    """
    scope = TrainingDistribution.from_meta(trained.meta)
    explain = jax.jit(make_explainer(trained.network, trained.mesh))
    side = trained.meta["preprocessing"]["image_size"]
    # One film for each device, of which the first alone is looked at.
    shape = (trained.mesh.size, side, side, 1)

    def read(decoded: Decoded) -> Reading:
        film, preview = decoded
        if preview is None:
            raise ValueError("the film was decoded without a preview")
        images = np.zeros(shape, np.uint8)
        images[0, ..., 0] = film.pixels
        logits, maps = jax.device_get(explain(trained.params, images))
        (probability,) = trained.decision.probabilities(logits[:1])
        (called,) = trained.decision.calls([probability])
        evidence = overlay(preview, maps[0]) if maps[0].any() else None
        (warnings,) = warnings_about([film], scope)
        shown = Image.fromarray(preview)
        return Reading(float(probability), bool(called), warnings, shown, evidence)

    return read
