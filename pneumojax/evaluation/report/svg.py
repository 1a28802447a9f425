"""Charts as SVG inside a page, whose colours follow the page's theme."""

import io
import re
from dataclasses import asdict

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from pneumojax.palette import LIGHT, Palette

# A date or a version would make two files of one chart differ.
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def inline_svg(figure: Figure, name: str, label: str) -> Markup:
    """The chart as an <svg> element with `label` for readers who do not see it.

    Each colour of the palette becomes a CSS variable such as var(--ink), which the page defines
    (`css_variables`). The element's identifiers begin with `name`, so charts of one page may use
    the same ones.
    """
    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "pneumojax"}):
        figure.savefig(stream, format="svg", metadata=_NO_METADATA)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    for variable, colour in asdict(LIGHT).items():
        svg = re.sub(colour, f"var(--{variable})", svg, flags=re.IGNORECASE)
    size = re.compile(r' width="[\d.]+pt" height="[\d.]+pt"|<!--.*?-->', re.DOTALL)
    svg = size.sub("", svg).replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    return Markup(svg)


def css_variables(palette: Palette) -> str:
    """The palette as declarations of CSS variables."""
    return " ".join(f"--{name}: {colour};" for name, colour in asdict(palette).items())
