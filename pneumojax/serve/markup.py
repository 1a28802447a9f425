"""What the page says, as HTML: of the network, of a film that was read, of a file that was not."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from PIL import Image

from pneumojax.data.formats import KINDS
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.serve.examples import Example
from pneumojax.serve.reading import Reading
from pneumojax.training.trained import Trained

_TEMPLATES = Path(__file__).parent / "templates"
_JPEG_QUALITY = 90


class About(NamedTuple):
    """What the page says of the network.

    run: name of its folder.
    trained_on: name of the folder of films, or the stamp of drawings.
    synthetic: whether the films were drawings.
    threshold: calibrated probability from which a film is called PNEUMONIA.
    rule: how the threshold was found, see `Decision`.
    films: validation films that it was fitted on.
    knows_scope: whether the network can tell that a picture is unlike its training films.
    """

    run: str
    trained_on: str
    synthetic: bool
    threshold: float
    rule: str
    films: int
    knows_scope: bool


def about(trained: Trained, workdir: Path) -> About:
    """What there is to say of a run's network."""
    synthetic = trained.meta["synthetic"]
    return About(
        run=workdir.name,
        trained_on=trained.trained_on,
        synthetic=synthetic,
        threshold=trained.decision.threshold,
        rule=trained.decision.rule,
        films=trained.decision.films,
        knows_scope=bool(trained.meta.get("scope")),
    )


def introduction(network: About) -> str:
    """The head of the page: title, disclaimer, what the network was trained on."""
    kinds = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
    return _render("introduction", network=network, kinds=kinds, disclaimer=DISCLAIMER)


def nothing_yet() -> str:
    """What stands in the place of a reading before there is one."""
    return _render("nothing_yet")


def drawings_of(drawings: Sequence[Example]) -> str:
    """Buttons, each with the place of its drawing as its value."""
    shown = [(_data_uri("png", drawing.data), drawing.caption) for drawing in drawings]
    return _render("drawings", drawings=shown)


def reading_of(reading: Reading, network: About) -> str:
    """Probability on its scale, call, warnings and pictures."""
    evidence = reading.evidence
    return _render(
        "reading",
        reading=reading,
        network=network,
        value=three_places(reading.probability),
        threshold=three_places(network.threshold),
        film=_jpeg(reading.film),
        evidence=None if evidence is None else _jpeg(evidence),
        disclaimer=DISCLAIMER,
    )


def refusal_of(reason: str) -> str:
    """One line on why a file was not read."""
    return _render("refusal", reason=reason)


def style() -> str:
    """The page's CSS."""
    return (_TEMPLATES / "page.css").read_text()


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
