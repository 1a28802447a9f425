"""Synthetic example films for the page. They are never patient data."""

import io
from typing import NamedTuple

from PIL import Image

from pneumojax.data import phantom, phantom_films

_DRAWN = (("none", "Healthy"), ("bacteria", "One dense lobe"), ("virus", "Haze on both sides"))
_PATIENT = 7  # the drawings of this patient show clearly what their captions say


class Example(NamedTuple):
    """A film as the bytes of a PNG."""

    data: bytes
    caption: str


def examples() -> list[Example]:
    """One drawing of each kind; the same at every start."""
    return [Example(_png(pathogen), caption) for pathogen, caption in _DRAWN]


def _png(pathogen: str) -> bytes:
    stream = io.BytesIO()
    film = phantom.draw_film(phantom_films.SEED, _PATIENT, 1, pathogen)
    Image.fromarray(film).save(stream, "PNG")
    return stream.getvalue()
