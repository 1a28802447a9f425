"""Sections as one HTML page that needs no network, and as Markdown with pictures beside it."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from matplotlib.figure import Figure

from pneumojax.disclaimer import SYNTHETIC_STAMP
from pneumojax.evaluation.cautions import cautions
from pneumojax.evaluation.report.sections import Section
from pneumojax.evaluation.terminal import limits_of, value_of
from pneumojax.files import printable

Picture = Figure | bytes  # a chart, or a PNG
HEADLINE = (("sensitivity", "Sensitivity"), ("specificity", "Specificity"), ("auroc", "AUROC"))


def render_html(
    result: Mapping[str, Any], sections: Sequence[Section], pictures: Mapping[str, Picture]
) -> str:
    """The page; charts are drawn as SVG, pictures of films stay PNG, all inside it.

    Args:
      result: what `metrics.json` holds.
      sections: in their order.
      pictures: those that the sections name, and perhaps more.
    """
    template = _environment(html=True).get_template("report.html.jinja")
    inside = {name: _data_uri(pictures[name]) for s in sections for name in s.pictures}
    return template.render(**_context(result, sections), pictures=inside)


def render_markdown(
    result: Mapping[str, Any], sections: Sequence[Section], files: Mapping[str, str]
) -> str:
    """The same as Markdown for a paper's supplement.

    Args:
      result: what `metrics.json` holds.
      sections: in their order.
      files: the file of each picture, relative to the Markdown's folder.
    """
    template = _environment(html=False).get_template("report.md.jinja")
    text = template.render(**_context(result, sections), files=files)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def png(picture: Picture) -> bytes:
    """A picture as the bytes of a PNG file."""
    if isinstance(picture, bytes):
        return picture
    stream = io.BytesIO()
    picture.savefig(stream, format="png")
    return stream.getvalue()


def _context(result: Mapping[str, Any], sections: Sequence[Section]) -> dict[str, Any]:
    return {
        "result": result,
        "cautions": cautions(result),
        "sections": sections,
        "headline": [(t, value_of(result[k]), limits_of(result[k])) for k, t in HEADLINE],
        "stamp": SYNTHETIC_STAMP if result["synthetic"] else "",
    }


def _environment(html: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Names of films and folders may hold anything.
    environment.filters["cell"] = _as_markdown
    return environment


def _as_markdown(text: str) -> str:
    return re.sub(r"([\\`*_<>|\[\]#&])", r"\\\1", printable(text))


def _data_uri(picture: Picture) -> str:
    if isinstance(picture, bytes):
        return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    stream = io.BytesIO()
    # Reproducible: no date, and names inside the SVG drawn from a fixed salt.
    with matplotlib.rc_context({"svg.hashsalt": "pneumojax"}):
        picture.savefig(stream, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(stream.getvalue()).decode()}"
