"""The HTML of the page and of readings, and a reading as values for JSON."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup
from PIL import Image

from pneumojax.decoding.formats import KINDS
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.serve.examples import Example
from pneumojax.serve.reading import Reading

_TEMPLATES = Path(__file__).parent / "templates"
_JPEG_QUALITY = 90


class About(NamedTuple):
    """The facts about the network that the page shows.

    run: name of its folder.
    trained_on: name of the folder of films, or the stamp of drawings.
    synthetic: whether the films were drawings.
    threshold: calibrated probability from which a film is called PNEUMONIA.
    rule: how the threshold was found, see `Decision`.
    fitted_on: the films that the threshold was fitted on, in words.
    knows_scope: whether the network can tell that a picture is unlike its training films.
    """

    run: str
    trained_on: str
    synthetic: bool
    threshold: float
    rule: str
    fitted_on: str
    knows_scope: bool


def about(trained: TrainedRun, workdir: Path) -> About:
    """The description of a run's network."""
    synthetic = trained.meta["synthetic"]
    return About(
        run=workdir.name,
        trained_on=trained.trained_on,
        synthetic=synthetic,
        threshold=trained.decision.threshold,
        rule=trained.decision.rule,
        fitted_on=_fitted_on(trained),
        knows_scope=bool(trained.meta.get("scope")),
    )


def _fitted_on(trained: TrainedRun) -> str:
    """A released run may carry a decision of a cross-validation in place of its own."""
    films, own = trained.decision.films, trained.meta.get("decision_of_validation")
    if own is None or own == trained.meta.get("decision"):
        return f"{films:,} validation films"
    return f"out-of-fold predictions of {films:,} training films"


def page(network: About, drawings: Sequence[Example], most: int) -> str:
    """The whole page before there is a reading; `most` bytes are taken of a film."""
    parts = {
        "introduction": introduction(network),
        "drawings": drawings_of(drawings),
        "nothing_yet": _render("nothing_yet"),
    }
    return _render("page", most=most, **{name: Markup(text) for name, text in parts.items()})


def introduction(network: About) -> str:
    """The head of the page: title, disclaimer, the network's training films."""
    kinds = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    return _render("introduction", network=network, kinds=kinds, disclaimer=DISCLAIMER)


def drawings_of(drawings: Sequence[Example]) -> str:
    """Buttons, each with the index of its drawing as its value."""
    return _render("drawings", captions=[drawing.caption for drawing in drawings])


def reading_of(reading: Reading, network: About, seen: str) -> str:
    """Probability on its scale, call, warnings and pictures.

    Args:
        seen: a note where the network was trained on the film or its patient, else "".
    """
    evidence = reading.evidence
    return _render(
        "reading",
        reading=reading,
        network=network,
        seen=seen,
        value=three_places(reading.probability),
        threshold=three_places(network.threshold),
        film=_jpeg(reading.film),
        evidence=None if evidence is None else _jpeg(evidence),
        disclaimer=DISCLAIMER,
    )


def values_of(reading: Reading, network: About, seen: str) -> dict[str, Any]:
    """A reading without its pictures, for JSON; the probability is not rounded."""
    return {
        "call": "PNEUMONIA" if reading.pneumonia else "NORMAL",
        "probability": reading.probability,
        "threshold": network.threshold,
        "warnings": [*([seen] if seen else []), *reading.warnings],
        "network": network.run,
        "trained_on": network.trained_on,
        "disclaimer": DISCLAIMER,
    }


def style() -> str:
    """The page's CSS."""
    return (_TEMPLATES / "page.css").read_text()


def script() -> str:
    """The page's JavaScript."""
    return (_TEMPLATES / "page.js").read_text()


def three_places(probability: float) -> str:
    """As 0.937, and never as a certainty that it is not."""
    if probability < 0.001:
        return "below 0.001"
    if probability > 0.999:
        return "above 0.999"
    return f"{probability:.3f}"


def _render(name: str, **values: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{name}.html.jinja").render(values)


def _jpeg(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_JPEG_QUALITY)
    return _data_uri("jpeg", stream.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    """Inside the page, so that no picture of a film is ever written to a disk."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
