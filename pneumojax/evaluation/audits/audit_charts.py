"""Pictures of the audits: shortcuts, subgroups and robustness; made as those in `charts.py`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pneumojax.data.films import CLASS_NAMES
from pneumojax.evaluation.audits.subgroups import FEW, FIGURES
from pneumojax.evaluation.report.charts import BLUE, INK, MUTED, ORANGE, card, tidy

_WIDTH = 5.2  # inches, as the other pictures of the report
_CLASS_COLOURS = dict(zip(CLASS_NAMES, (BLUE, ORANGE), strict=True))
_LINES = {"auroc": ("AUROC", INK), "sensitivity": ("sensitivity", BLUE)} | {
    "specificity": ("specificity", ORANGE)
}
_TITLES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "auroc": "AUROC"}


def shortcuts_chart(result: Mapping[str, Any]) -> Figure:
    """AUROC of each statistic alone, and in pairs of like films, beside the network's.

    Args:
      result: of `shortcuts`.
    """
    # A statistic that all films share has an AUROC of one half and nothing to show.
    rows = [row for row in result["statistics"] if row["auroc"]["low"] is not None]
    figure, axes = card((_WIDTH, 1.7 + 0.36 * max(len(rows), 3)))
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0.4, 1.02), xlabel="AUROC of one number")
    axes.axvline(0.5, color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
    if not rows:
        axes.text(0.71, 0.5, "no statistic can be told by class", ha="center", color=INK, size=12)
    for i, row in enumerate(rows):
        colour = _CLASS_COLOURS.get(row["higher_in"], MUTED)
        axes.barh(i, row["auroc"]["value"] - 0.5, left=0.5, height=0.62, color=colour, alpha=0.3)
        axes.plot([row["auroc"]["low"], row["auroc"]["high"]], [i, i], color=colour, linewidth=2)
        axes.plot(row["auroc"]["value"], i, "o", color=colour, markersize=5)
        if result["pairs"]["pairs"] >= FEW:  # of fewer, chance alone is far from one half
            axes.plot(row["auroc_in_pairs"], i, "D", mec=INK, mfc="white", markersize=5, zorder=4)
    model = result["model"]["auroc"]
    if model["value"] is not None:
        axes.axvline(model["value"], color=INK, linewidth=2)
        if model["low"] is not None:
            axes.axvspan(model["low"], model["high"], color=INK, alpha=0.15, linewidth=0)
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows], color=INK)
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    handles: list[Artist] = [
        Patch(color=c, alpha=0.6, label=f"higher in {n}") for n, c in _CLASS_COLOURS.items()
    ]
    handles += [
        Line2D([], [], color=INK, linewidth=2, label="the network"),
        Line2D([], [], ls="", marker="D", mec=INK, mfc="white", label="statistic, paired films"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=10.5)
    return figure


def subgroups_chart(result: Mapping[str, Any]) -> Figure:
    """Forest plot: the three figures of each part with their closed-form intervals.

    Figures of too few films are hollow and grey, and do not stretch the axis.

    Args:
      result: of `subgroups`.
    """
    rows: list[dict[str, Any]] = []
    labels: list[str] = []
    headings = []
    for part in result["parts"]:
        if part["by"] != "all" and (not rows or part["title"] != rows[-1]["title"]):
            headings.append(len(labels))
            labels.append(part["title"])
        rows.append({**part, "at": len(labels)})
        labels.append(f"{_range(part)} (n {part['n']:,})")
    figure = Figure(
        figsize=(_WIDTH, 1.25 + 0.255 * len(labels)),
        dpi=150,
        facecolor="white",
        layout="constrained",
    )
    panels = figure.subplots(1, 3, sharey=True)
    for axes, name in zip(panels, FIGURES, strict=True):
        tidy(axes)
        axes.grid(visible=False, axis="y")
        axes.set_title(_TITLES[name], size=11, color=INK)
        _forest(axes, rows, name)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(labels)), labels, size=10, color=INK)
    panels[0].set_ylim(len(labels) - 0.4, -0.6)
    for i in headings:
        panels[0].get_yticklabels()[i].set(weight="bold", color=MUTED)
    few = f"rests on fewer than {result['few']} films of a class"
    hollow = Line2D([], [], color=MUTED, marker="o", mfc="white", label=few)
    figure.legend(handles=[hollow], loc="outside upper left", frameon=False, fontsize=10.5)
    return figure


def robustness_chart(result: Mapping[str, Any]) -> Figure:
    """Small multiples: AUROC, sensitivity and specificity over each perturbation's level.

    Args:
      result: of `robustness`.
    """
    kinds = result["kinds"].values()
    lines = -(-len(kinds) // 2)
    figure = Figure(
        figsize=(_WIDTH, 1.75 * lines + 0.7), dpi=150, facecolor="white", layout="constrained"
    )
    places = figure.subplots(lines, 2, sharey=True, squeeze=False).ravel()
    for axes, kind in zip(places, kinds, strict=False):
        tidy(axes)
        axes.set_title(kind["title"], size=11, color=INK)
        axes.axvline(kind["unchanged"], color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
        points = [{**result["unchanged"], "level": kind["unchanged"]}, *kind["levels"]]
        points.sort(key=lambda point: point["level"])
        # What was tried, not a grid: there is nothing between but a straight line.
        axes.set_xticks([p["level"] for p in points], [f"{p['level']:g}" for p in points], size=10)
        for name, (_, colour) in _LINES.items():
            _with_bars(axes, points, name, colour)
    for axes in places[len(kinds) :]:
        axes.remove()
    places[0].set_ylim(-0.02, 1.04)
    handles = [Line2D([], [], color=c, marker="o", label=label) for label, c in _LINES.values()]
    handles.append(Line2D([], [], color=MUTED, ls=(0, (4, 4)), label="films as they are"))
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=11)
    return figure


def _range(part: Mapping[str, Any]) -> str:
    if part["low"] is None:
        return str(part["name"])
    digits = 0 if part["high"] >= 10 else 2
    return f"{part['low']:.{digits}f} to {part['high']:.{digits}f}"


def _forest(axes: Axes, rows: list[dict[str, Any]], name: str) -> None:
    whole = rows[0][name]["value"]
    if whole is not None:
        axes.axvline(whole, color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
    lowest = 1.0
    for row in rows:
        value, few = row[name]["value"], name in row["too_few"]
        if value is None:
            continue
        colour = MUTED if few else BLUE
        if row[name]["low"] is not None:
            low, high = row[name]["low"], row[name]["high"]
            axes.plot([low, high], [row["at"]] * 2, color=colour, linewidth=1.8, alpha=0.7)
            reach = low
        else:
            reach = value
        face = "white" if few else colour
        axes.plot(value, row["at"], "o", mec=colour, mfc=face, markersize=5, zorder=3)
        lowest = lowest if few else min(lowest, reach)
    axes.set_xlim(np.floor(20 * (lowest - 0.01)) / 20, 1.01)
    axes.xaxis.set_major_locator(MaxNLocator(2))


def _with_bars(axes: Axes, points: list[dict[str, Any]], name: str, colour: str) -> None:
    """A line through the values, and each one's interval."""
    known = [point for point in points if point[name]["value"] is not None]
    axes.plot(
        [point["level"] for point in known],
        [point[name]["value"] for point in known],
        "o-",
        color=colour,
        markersize=3.5,
        linewidth=1.6,
    )
    for point in known:
        if point[name]["low"] is not None:
            limits = [point[name]["low"], point[name]["high"]]
            axes.plot([point["level"]] * 2, limits, color=colour, linewidth=1.4, alpha=0.45)
