"""The picture of what `benchmarks/streaming.py` measures: memory and films/s by number of films."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from tools.docs.drawing import COLORS, save, style
from tools.docs.places import PERFORMANCE

STORED = PERFORMANCE / "streaming.json"
COLOR = {"streamed": COLORS[0], "cached": COLORS[2]}
Curve = dict[str, dict[str, Any]]


def draw_stored(path: Path) -> None:
    """Draws the stored points."""
    draw(json.loads(STORED.read_text())["points"], path)


def draw(points: dict[str, Curve], path: Path) -> None:
    """Draws two panels, 1,100 pixels wide in all."""
    figure = Figure(figsize=(8.6, 3.3), layout="constrained", facecolor="white")
    memory, speed = figure.subplots(1, 2)
    for kind, curve in points.items():
        _line(memory, curve, kind, "o-", lambda p: p["reading"]["all_mb"])
        label = f"{kind}, without pages of files"
        _line(memory, curve, label, "o:", lambda p: p["reading"]["own_mb"])
        _line(speed, curve, kind, "o-", lambda p: p["films_per_second"])
        label = f"{kind}, first from disk"
        _line(speed, curve, label, "o:", lambda p: p["films_per_second_from_disk"])
    memory.set_ylim(bottom=0)
    style(memory, "peak memory of an epoch of training input, MB", "films")
    speed.set_yscale("log")
    speed.set_ylim(10, 1e6)  # leaves room for the legend above the lines
    style(speed, "films/s without training", "films")
    sizes = sorted({int(x) for curve in points.values() for x in curve})
    for axes in (memory, speed):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{x:,}" for x in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.legend(fontsize=7, frameon=False)
    save(figure, path)


def _line(
    axes: Axes, curve: Curve, label: str, line: str, value: Callable[[dict[str, Any]], float]
) -> None:
    sizes = sorted(curve, key=int)
    values = [value(curve[x]) for x in sizes]
    color = COLOR[label.split(",")[0]]
    axes.plot([int(x) for x in sizes], values, line, color=color, markersize=4, label=label)
