"""Draws what `benchmarks/streaming.py` measured: memory and films/s against the number of films."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from tools.docs.scaling import COLORS, INK, MUTED, RULE, save

COLOR = {"streamed": COLORS[0], "cached": COLORS[2]}


def draw(points: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    """Two panels as a PNG of 1,100 pixels."""
    figure = Figure(figsize=(8.6, 3.3), layout="constrained", facecolor="white")
    memory, speed = figure.subplots(1, 2)
    for kind, curve in points.items():
        _line(memory, curve, kind, "o-", lambda p: p["reading"]["all_mb"])
        _line(
            memory, curve, f"{kind}, without pages of files", "o:", lambda p: p["reading"]["own_mb"]
        )
        _line(speed, curve, kind, "o-", lambda p: p["films_per_second"])
        _line(
            speed,
            curve,
            f"{kind}, first from disk",
            "o:",
            lambda p: p["films_per_second_from_disk"],
        )
    memory.set_ylim(bottom=0)
    memory.set_title("MB of memory, training input, the most of an epoch", **_TITLE)
    speed.set_yscale("log")
    speed.set_ylim(10, 1e6)  # the legend above the lines
    speed.set_title("films/s, nothing trained", **_TITLE)
    sizes = sorted({int(x) for curve in points.values() for x in curve})
    for axes in (memory, speed):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{x:,}" for x in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("films", fontsize=9, color=INK)
        axes.grid(axis="y", color=RULE, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=MUTED, labelsize=8)
        axes.legend(fontsize=7, frameon=False)
    save(figure, path)


_TITLE: dict[str, Any] = {"fontsize": 9, "color": INK, "loc": "left"}


def _line(axes: Axes, curve: dict[str, Any], label: str, style: str, value: Any) -> None:
    sizes = sorted(curve, key=int)
    color = COLOR[label.split(",")[0]]
    axes.plot(
        [int(x) for x in sizes],
        [value(curve[x]) for x in sizes],
        style,
        color=color,
        markersize=4,
        label=label,
    )
