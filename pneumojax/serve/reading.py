"""Reads one decoded film: probability, call, warnings and pictures for the page."""

from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from pneumojax.data.out_of_distribution import TrainingDistribution, warnings_about
from pneumojax.inference.overlay import overlay
from pneumojax.inference.predictor import Predictor
from pneumojax.isolation.films import Decoded

LARGEST_SIDE = 640  # pixels; the longest side of a picture on the page


class Reading(NamedTuple):
    """The network's answer to one film.

    probability: the calibrated probability of the positive class, by default pneumonia.
    positive: whether the film is called positive.
    warnings: the reasons why the probability may be meaningless.
    film: the upright film, of one channel, no side longer than `LARGEST_SIDE`.
    evidence: the film with the Grad-CAM map over it, RGB; None without a map.
    """

    probability: float
    positive: bool
    warnings: list[str]
    film: Image.Image
    evidence: Image.Image | None


def make_reader(predictor: Predictor) -> Callable[[Decoded], Reading]:
    """Makes a function that reads one decoded film; its first call compiles the network.

    The film must be decoded with the run's preprocessing and with a preview of `LARGEST_SIDE`.
    """
    trained = TrainingDistribution.from_meta(predictor.first.meta)
    # One film for each device: all but the first are padding.
    predictor = predictor.in_batches_of(predictor.first.mesh.size)

    def read(decoded: Decoded) -> Reading:
        film, preview = decoded
        if preview is None:
            raise ValueError("the film was decoded without a preview")
        evidence = None
        if predictor.explains:
            logits, maps = predictor.explain(film.pixels[None])
            evidence = overlay(preview, maps[0]) if maps[0].any() else None
        else:
            logits = predictor.logits(film.pixels[None])
        (probability,) = predictor.decision.probabilities(predictor.combine(logits)[0])
        (called,) = predictor.decision.calls([probability])
        (warnings,) = warnings_about([film], trained)
        shown = Image.fromarray(preview)
        return Reading(float(probability), bool(called), warnings, shown, evidence)

    return read
