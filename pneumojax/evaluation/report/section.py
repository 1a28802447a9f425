"""Sections of a report, before they become a page or Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from pneumojax.inference.overlay import Tile

Picture = Figure | Tile  # a chart, or a picture of films with its caption


@dataclass(frozen=True)
class Table:
    """The first column names the row. A page shows the table under the line `folded`, if any.

    note: a sentence above the table.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: str = ""
    note: str = ""


@dataclass(frozen=True)
class Section:
    """One part of the report, with the caption of each picture by name.

    layout: "side by side", "wide" (each picture takes the whole width) or "small". A single chart
        that is "side by side" stands beside the text.
    more: captions of further pictures, which the page shows under the line `more_title`.
    folded: whether the page shows only the title until a reader opens the section.
    """

    title: str
    text: list[str]
    tables: list[Table] = field(default_factory=list)
    pictures: Mapping[str, str] = field(default_factory=dict)
    layout: str = "side by side"
    more: Mapping[str, str] = field(default_factory=dict)
    more_title: str = "More pictures"
    folded: bool = False

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())

    @property
    def is_beside_a_chart(self) -> bool:
        return self.layout == "side by side" and len(self.pictures) == 1
