"""From the bytes of one film to all that a page shows of it; no page, no files."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from pneumojax.data.decoding import Preprocessing
from pneumojax.data.formats import decode_any, decode_any_grey
from pneumojax.data.scope import Scope, warnings_about
from pneumojax.explain.gradcam import make_explainer
from pneumojax.explain.overlay import overlay
from pneumojax.training.trained import Trained

LARGEST_SIDE = 640  # pixels of the pictures shown


class Reading(NamedTuple):
    """What is known of one film.

    probability: calibrated, of PNEUMONIA.
    pneumonia: whether it is called so.
    warnings: why the probability may mean nothing.
    film: as people see it, upright, of one channel, no side above `LARGEST_SIDE`.
    evidence: the same with the evidence on it, RGB; None where nothing speaks for pneumonia.
    """

    probability: float
    pneumonia: bool
    warnings: list[str]
    film: Image.Image
    evidence: Image.Image | None


Read = Callable[[bytes], Reading]


def make_reader(trained: Trained) -> Read:
    """A function that reads one film; it compiles the network at its first call.

    It raises FilmError, whose message is the reason, where the bytes are no readable film.
    """
    preprocessing = Preprocessing(**trained.meta["preprocessing"])
    scope = Scope(**trained.meta["scope"]) if trained.meta.get("scope") else None
    explain = jax.jit(make_explainer(trained.network, trained.mesh))
    side = preprocessing.image_size
    # One film for each device, of which the first alone is looked at.
    shape = (trained.mesh.size, side, side, 1)

    def read(data: bytes) -> Reading:
        film = decode_any(data, preprocessing)
        shown = decode_any_grey(data)
        shown.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        images = np.zeros(shape, np.uint8)
        images[0, ..., 0] = film.pixels
        logits, maps = jax.device_get(explain(trained.params, images))
        (probability,) = trained.decision.probabilities(logits[:1])
        (called,) = trained.decision.calls([probability])
        evidence = overlay(np.asarray(shown), maps[0]) if maps[0].any() else None
        (warnings,) = warnings_about([film], scope)
        return Reading(float(probability), bool(called), warnings, shown, evidence)

    return read
