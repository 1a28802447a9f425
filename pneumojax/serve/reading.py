"""From one decoded film to all that a page shows of it."""

from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from pneumojax.data.out_of_distribution import TrainingDistribution, warnings_about
from pneumojax.inference.overlay import overlay
from pneumojax.inference.predictor import Predictor
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


def make_reader(predictor: Predictor) -> Callable[[Decoded], Reading]:
    """A function that reads one decoded film; it compiles the network at its first call.

    The film must be decoded by the run's preprocessing, with a preview of `LARGEST_SIDE`.
    """
    trained = TrainingDistribution.from_meta(predictor.first.meta)
    # One film for each device: all but the first are padding.
    predictor = predictor.in_batches_of(predictor.first.mesh.size)

    def read(decoded: Decoded) -> Reading:
        film, preview = decoded
        if preview is None:
            raise ValueError("the film was decoded without a preview")
        logits, maps = predictor.explain(film.pixels[None])
        (probability,) = predictor.decision.probabilities(predictor.combine(logits)[0])
        (called,) = predictor.decision.calls([probability])
        evidence = overlay(preview, maps[0]) if maps[0].any() else None
        (warnings,) = warnings_about([film], trained)
        shown = Image.fromarray(preview)
        return Reading(float(probability), bool(called), warnings, shown, evidence)

    return read
