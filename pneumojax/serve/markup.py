"""Renders the page and the readings as HTML, readings as values for JSON, and example films."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from PIL import Image

from pneumojax.data import phantom, phantom_films
from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.decoding.formats import KINDS
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.serve.reading import Reading
from pneumojax.templates import environment

_TEMPLATES = Path(__file__).parent / "templates"
_ENVIRONMENT = environment(_TEMPLATES, html=True)
_JPEG_QUALITY = 90
_DRAWN = (("none", "Healthy"), ("bacteria", "One dense lobe"), ("virus", "Haze on both sides"))
_PATIENT = 7  # the drawings of this patient show clearly what their captions say


class Example(NamedTuple):
    """A synthetic film as the bytes of a PNG; never patient data."""

    data: bytes
    caption: str


def examples() -> list[Example]:
    """One drawing of each kind; the same at every start."""
    return [Example(_png(pathogen), caption) for pathogen, caption in _DRAWN]


def _png(pathogen: str) -> bytes:
    film = phantom.draw_film(phantom_films.SEED, _PATIENT, 1, pathogen)
    return _encoded(Image.fromarray(film), "PNG")


class About(NamedTuple):
    """The facts about the network that the page shows.

    run: the name of the run folder.
    trained_on: the name of the folder of training films, or the stamp of synthetic films.
    threshold: the calibrated probability from which a film is called positive, by `rule`.
    fitted_on: the films that the threshold was fitted on, in words.
    recognises_training_films: whether a picture that is unlike the training films is recognised.
    explains: whether the network has Grad-CAM maps.
    """

    run: str
    trained_on: str
    synthetic: bool
    threshold: float
    rule: str
    fitted_on: str
    recognises_training_films: bool
    explains: bool = True
    class_names: ClassNames = CLASS_NAMES


def about(trained: TrainedRun, workdir: Path) -> About:
    """Describes the network of a run."""
    return About(
        run=workdir.name,
        trained_on=trained.trained_on,
        synthetic=trained.meta["synthetic"],
        threshold=trained.decision.threshold,
        rule=trained.decision.rule,
        fitted_on=_fitted_on(trained),
        recognises_training_films=bool(trained.meta.get("scope")),
        explains=trained.network.explains,
        class_names=trained.class_names,
    )


def _fitted_on(trained: TrainedRun) -> str:
    """Names the films that the decision was fitted on: as it says itself, or those out of fold."""
    decision, own = trained.decision, trained.meta.get("decision_of_validation")
    if own in (None, trained.meta.get("decision")) or decision.rule == "worst_case":
        return decision.fitted_on
    return f"out-of-fold predictions of {decision.films:,} training films"


def page(network: About, drawings: Sequence[Example], most: int) -> str:
    """The whole page, without a reading, for films of at most `most` bytes."""
    return _render(
        "page",
        most=most,
        introduction=Markup(introduction(network)),
        drawings=Markup(drawings_of(drawings)),
        nothing_yet=Markup(_render("nothing_yet")),
    )


def introduction(network: About) -> str:
    """The top of the page: title, disclaimer, and the films that the network was trained on."""
    kinds = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    return _render("introduction", network=network, kinds=kinds, disclaimer=DISCLAIMER)


def drawings_of(drawings: Sequence[Example]) -> str:
    """A button for each drawing, with the drawing's index as its value."""
    return _render("drawings", captions=[drawing.caption for drawing in drawings])


def reading_of(reading: Reading, network: About, seen: str) -> str:
    """One reading: the probability on a scale, the call, warnings and pictures.

    `seen` notes that the network was trained on the film or its patient, and is else "".
    """
    return _render(
        "reading",
        reading=reading,
        call=network.class_names[reading.positive],
        network=network,
        seen=seen,
        value=three_places(reading.probability),
        threshold=three_places(network.threshold),
        film=_jpeg(reading.film),
        evidence=reading.evidence and _jpeg(reading.evidence),
        disclaimer=DISCLAIMER,
    )


def values_of(reading: Reading, network: About, seen: str) -> dict[str, Any]:
    """A reading without its pictures, for JSON, with the probability in full precision."""
    return {
        "call": network.class_names[reading.positive],
        "probability": reading.probability,
        "threshold": network.threshold,
        "warnings": [*([seen] if seen else []), *reading.warnings],
        "network": network.run,
        "trained_on": network.trained_on,
        "disclaimer": DISCLAIMER,
    }


def fixed(name: str) -> str:
    """The page's CSS or JavaScript, `page.css` or `page.js`."""
    return (_TEMPLATES / name).read_text()


def three_places(probability: float) -> str:
    """The probability with three decimals, such as 0.937, never rounded to 0 or 1."""
    if probability < 0.001:
        return "below 0.001"
    if probability > 0.999:
        return "above 0.999"
    return f"{probability:.3f}"


def _render(name: str, **values: Any) -> str:
    return _ENVIRONMENT.get_template(f"{name}.html.jinja").render(values)


def _jpeg(picture: Image.Image) -> str:
    """A picture inside the page, so that no picture of a film is ever written to a disk."""
    jpeg = _encoded(picture, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()
