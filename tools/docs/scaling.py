"""Draws what `benchmarks/scaling.py` measured: three curves side by side."""

import io
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter
from PIL import Image

INK, MUTED, RULE = "#1f2933", "#5f6c7b", "#c3cad3"
COLORS = ("#b3541e", "#5f6c7b", "#1f5fa8")
LABELS = {
    "batch": "films in a batch (150 pixels)",
    "image_size": "side of a film, pixels (64 films)",
}


def draw(points: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    """One panel for each curve that has points, as a PNG of 1,500 pixels."""
    curves = {
        name: {int(x): point for x, point in curve.items() if "error" not in point}
        for name, curve in points.items()
    }
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return
    figure = Figure(figsize=(3.9 * len(curves), 3.3), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        draw_panel = _start if name == "films" else _step
        draw_panel(axes, name, dict(sorted(curve.items())))
        axes.set_xscale("log")
        axes.set_xticks(sorted(curve), [f"{x:,}" for x in sorted(curve)])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y", color=RULE, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=MUTED, labelsize=8)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """A PNG of 32 colours: a quarter of the bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=128)
    Image.open(drawn).convert("RGB").quantize(32).save(path, optimize=True)


def _step(axes: Axes, name: str, curve: dict[int, dict[str, Any]]) -> None:
    seconds = [point["median_seconds"] for point in curve.values()]
    axes.plot(list(curve), seconds, "o-", color=COLORS[2], markersize=4)
    for x, point in curve.items():
        rate = point["flops"] / point["median_seconds"] / 1e9
        axes.annotate(
            f"{rate:.0f}",
            (x, point["median_seconds"]),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=MUTED,
        )
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.margins(0.12)
    axes.set_xlabel(LABELS[name], fontsize=9, color=INK)
    axes.set_title("seconds a step (at the points: GFLOP/s)", fontsize=9, color=INK, loc="left")


def _start(axes: Axes, name: str, curve: dict[int, dict[str, Any]]) -> None:
    states = next(iter(curve.values()))["seconds"]
    for color, state in zip(COLORS, states, strict=True):
        seconds = [point["seconds"][state] for point in curve.values()]
        axes.plot(list(curve), seconds, "o-", color=color, markersize=4, label=state)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("films (the cache holds ...)", fontsize=9, color=INK)
    axes.set_title("seconds from start to first step", fontsize=9, color=INK, loc="left")
    axes.legend(fontsize=7, frameon=False)
