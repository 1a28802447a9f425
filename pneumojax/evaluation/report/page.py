"""Sections as one HTML page that needs no network, and as Markdown with pictures beside it."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.section import Picture, Section
from pneumojax.evaluation.wording import HEADLINE, TITLES, limits_of, value_of
from pneumojax.files import printable
from pneumojax.templates import environment

_TEMPLATES = Path(__file__).parent / "templates"


def render_html(
    evaluation: Evaluation, sections: Sequence[Section], pictures: Mapping[str, Picture]
) -> str:
    """The page, with charts as SVG and pictures of films as PNG inside it."""
    template = environment(_TEMPLATES, html=True).get_template("report.html.jinja")
    inside = {name: _data_uri(pictures[name]) for s in sections for name in s.pictures}
    return template.render(**_values(evaluation, sections), pictures=inside)


def render_markdown(
    evaluation: Evaluation, sections: Sequence[Section], files: Mapping[str, str]
) -> str:
    """The same as Markdown for a paper's supplement; `files` are relative to its folder."""
    templates = environment(_TEMPLATES, html=False)
    templates.filters["cell"] = _as_markdown
    template = templates.get_template("report.md.jinja")
    text = template.render(**_values(evaluation, sections), files=files)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def png(picture: Picture) -> bytes:
    if isinstance(picture, bytes):
        return picture
    stream = io.BytesIO()
    picture.savefig(stream, format="png")
    return stream.getvalue()


def _values(evaluation: Evaluation, sections: Sequence[Section]) -> dict[str, Any]:
    estimates = evaluation.summary.estimates
    return {
        "facts": evaluation.facts,
        "summary": evaluation.summary,
        "cautions": evaluation.cautions,
        "sections": sections,
        "headline": [
            (TITLES[name], value_of(estimates[name]), limits_of(estimates[name]))
            for name in HEADLINE
        ],
        "disclaimer": DISCLAIMER,
        "stamp": SYNTHETIC_STAMP if evaluation.facts.synthetic else "",
    }


def _as_markdown(text: str) -> str:
    return re.sub(r"([\\`*_<>|\[\]#&])", r"\\\1", printable(text))


def _data_uri(picture: Picture) -> str:
    if isinstance(picture, bytes):
        return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    stream = io.BytesIO()
    # Reproducible: no date, and names inside the SVG are drawn from a fixed salt.
    with matplotlib.rc_context({"svg.hashsalt": "pneumojax"}):
        picture.savefig(stream, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"
