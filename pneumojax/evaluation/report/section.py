"""Sections of a report, before they become a page or Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

Picture = Figure | bytes  # a chart, or a PNG


@dataclass(frozen=True)
class Table:
    """The first column names the row. A page shows the table under the line `folded`, if any."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: str = ""


@dataclass(frozen=True)
class Section:
    """One part of the report, with the caption of each picture by name.

    layout: "side by side", "wide" (each picture takes the whole width) or "small".
    """

    title: str
    text: list[str]
    tables: list[Table] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    layout: str = "side by side"

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())
