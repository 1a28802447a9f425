"""The table and the picture of what `benchmarks/soak.py` watches over hours of training."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.soak import PANELS
from tools.docs.drawing import COLORS, save, style
from tools.docs.marks import table
from tools.docs.places import RELIABILITY

STORED = RELIABILITY / "soak.json"


def render(found: dict[str, Any]) -> str:
    """Renders the median of each quarter of each curve."""
    rows = [
        (title, *(f"{value:,.4g}" for value in found["quarters"][name]))
        for name, title in PANELS.items()
    ]
    return table(("median of", "first quarter", "second", "third", "last"), rows)


def draw_stored(path: Path) -> None:
    """Draws one panel for each curve, against hours."""
    result = json.loads(STORED.read_text())
    figure = Figure(figsize=(10, 2.6), layout="constrained", facecolor="white")
    for axes, (name, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        values = result["curves"][name]
        hours = [result["hours"] * (i + 0.5) / len(values) for i in range(len(values))]
        axes.plot(hours, values, color=COLORS[2], linewidth=1)
        axes.set_ylim(0, 1.25 * max(values))
        style(axes, title, "hours")
    save(figure, path)
