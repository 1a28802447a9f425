"""Seconds of a step and of a start against their size, which `benchmarks/scaling.py` measures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from tools.docs.drawing import COLORS, MUTED, save, style
from tools.docs.marks import table
from tools.docs.places import PERFORMANCE

STORED = PERFORMANCE / "scaling.json"
LABELS = {
    "batch": "films in a batch (150 pixels)",
    "image_size": "side of a film, pixels (64 films)",
}
STEP_HEADER = ("batch", "pixels", "median s a step", "films/s", "GFLOP/s", "peak memory, GB")


def rendered() -> str:
    """Renders the stored points."""
    return render(json.loads(STORED.read_text()))


def render(result: dict[str, Any]) -> str:
    """Renders a table of steps and a table of starts. A point that failed shows its reason."""
    steps, starts = [], []
    states: list[str] = []
    for curve, points in result["points"].items():
        for x, point in sorted(points.items(), key=lambda item: int(item[0])):
            if curve != "films":
                shape = {"batch": "64", "image_size": "150"} | {curve: x}
                steps.append([shape["batch"], shape["image_size"], *_step_cells(shape, point)])
            elif "error" in point:
                starts.append([f"{int(x):,}", point["error"]])
            else:
                states = list(point["seconds"])
                starts.append([f"{int(x):,}", *(f"{s:.1f}" for s in point["seconds"].values())])
    text = "### Scaling\n\n"
    if steps or any(states):
        text += "![Seconds of a step and of a start against their size](images/scaling.png)\n\n"
    if steps:
        steps_of = [curve for curve in result["points"] if curve != "films"]
        text += table(STEP_HEADER, steps) + f"\nMeasured on {_newest(result, steps_of)}.\n"
    if starts:
        text += "\nSeconds from the start of `main.py` to its first finished step, measured once "
        text += f"for each content of the cache folder, on {_newest(result, ['films'])}:\n\n"
        text += table(["films", *states], starts)
    text += f"\n`{result['command']}`, {result['hardware']}; "
    return text + "[JSON](../records/performance/scaling.json).\n"


def _newest(result: dict[str, Any], curves: Sequence[str]) -> str:
    """The newest date of the points of some curves."""
    return max(point["date"] for curve in curves for point in result["points"][curve].values())


def _step_cells(shape: dict[str, str], point: dict[str, Any]) -> list[str]:
    if "error" in point:
        return [point["error"]]
    median = point["median_seconds"]
    gflops, films = point["flops"] / median / 1e9, int(shape["batch"]) / median
    memory = f"{point['peak_bytes'] / 1e9:.2f}"
    return [f"{median:.3g}", f"{films:,.0f}", f"{gflops:.0f}", memory]


def draw_stored(path: Path) -> None:
    """Draws the stored points."""
    draw(json.loads(STORED.read_text())["points"], path)


def draw(points: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    """Draws one panel for each curve that has points. Without any point it writes nothing."""
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
        if name == "films":
            _draw_starts(axes, dict(sorted(curve.items())))
        else:
            _draw_steps(axes, name, dict(sorted(curve.items())))
        axes.set_xscale("log")
        axes.set_xticks(sorted(curve), [f"{x:,}" for x in sorted(curve)])
        axes.xaxis.set_minor_locator(NullLocator())
    save(figure, path)


def _draw_steps(axes: Axes, name: str, curve: dict[int, dict[str, Any]]) -> None:
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
    style(axes, "seconds a step (at the points: GFLOP/s)", LABELS[name])


def _draw_starts(axes: Axes, curve: dict[int, dict[str, Any]]) -> None:
    states = next(iter(curve.values()))["seconds"]
    for color, state in zip(COLORS, states, strict=True):
        seconds = [point["seconds"][state] for point in curve.values()]
        axes.plot(list(curve), seconds, "o-", color=color, markersize=4, label=state)
    axes.set_ylim(bottom=0)
    style(axes, "seconds from start to first step", "films (the cache holds ...)")
    axes.legend(fontsize=7, frameon=False)
