"""The Jinja environment of the report and of the local web page."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from pneumojax.files import printable


def environment(folder: Path, *, html: bool) -> jinja2.Environment:
    """Opens a folder of templates, in which an undefined name is an error.

    Texts are made printable, since names of films may hold anything, and are escaped for HTML.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _printable(value: Any) -> Any:
    # Markup is a part of the page, with line breaks of its own.
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
