"""Small pictures for the report, legible on a phone; the page gives each a title and a caption.

Each function returns a Matplotlib figure of some five inches on a white card. pyplot and its
global state are not used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from pneumojax.data.films import CLASS_NAMES
from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.stats.curves import (
    average_precision,
    precision_recall_band,
    precision_recall_curve,
    roc_band,
    roc_curve,
)
from pneumojax.stats.metrics import auroc

INK, MUTED, RULE = "#1f2933", "#5f6c7b", "#dde2e8"
BLUE, ORANGE = "#1f5fa8", "#c8641b"
_GRID = np.linspace(0, 1, 101)


def roc_chart(
    labels: ArrayLike,
    logits: ArrayLike,
    patients: Sequence[str] | NDArray,
    points: Mapping[str, tuple[float, float]],
) -> Figure:
    """ROC curve with its band.

    Args:
      labels: (n,) of 0 and 1.
      logits: (n,) finite.
      patients: (n,) one key per film, for the band.
      points: (sensitivity, specificity) of each operating point to mark, by its name.
    """
    figure, axes = card((5.2, 4.6))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="1 - specificity", ylabel="sensitivity")
    if np.isnan(auroc(labels, logits)):
        return _empty(figure, axes, "films of one class only")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
    low, high = roc_band(labels, logits, patients, _GRID)
    axes.fill_between(_GRID, low, high, color=BLUE, alpha=0.18, linewidth=0)
    rates, sensitivity, _ = roc_curve(labels, logits)
    axes.plot(rates, sensitivity, color=BLUE, linewidth=2.2)
    for (name, (y, specificity)), marker in zip(points.items(), "os", strict=False):
        axes.plot(1 - specificity, y, marker, color=ORANGE, markersize=8, mec="white", label=name)
    axes.legend(loc="lower right", frameon=False, fontsize=11)
    return figure


def precision_recall_chart(
    labels: ArrayLike, logits: ArrayLike, patients: Sequence[str] | NDArray
) -> Figure:
    """Precision over recall with its band, and the chance level; arguments as `roc_chart`."""
    figure, axes = card((5.2, 4.6))
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="recall (sensitivity)")
    axes.set_ylabel("precision (PPV)")
    truth = np.asarray(labels)
    if np.isnan(average_precision(truth, logits)) or truth.all():
        return _empty(figure, axes, "films of one class only")
    axes.axhline(truth.mean(), color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
    axes.text(0, truth.mean() - 0.02, "chance: the prevalence", color=MUTED, size=10, va="top")
    grid = _GRID[1:]
    low, high = precision_recall_band(truth, logits, patients, grid)
    axes.fill_between(grid, low, high, color=BLUE, alpha=0.18, linewidth=0)
    precision, recall, _ = precision_recall_curve(truth, logits)
    axes.step(recall, precision, where="pre", color=BLUE, linewidth=2.2)
    return figure


def confusion_chart(counts: Mapping[str, int]) -> Figure:
    """Confusion matrix: counts, and each as a share of its row (the film's own class).

    Args:
      counts: films by "tn", "fp", "fn", "tp".
    """
    cells = np.array([[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]])
    rows = cells.sum(axis=1, keepdims=True)
    shares = cells / np.maximum(rows, 1)
    figure = Figure(figsize=(5.2, 4.6), dpi=150, facecolor="white", layout="constrained")
    axes = figure.subplots()
    shade = LinearSegmentedColormap.from_list("shade", ["#f3f6fa", BLUE])
    axes.imshow(shares, cmap=shade, vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(2, 2):
        text: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "color": "white" if shares[row, column] > 0.55 else INK,
        }
        percent = f"{100 * shares[row, column]:.1f} %" if rows[row, 0] else "no films"
        axes.text(column, row - 0.08, f"{cells[row, column]:,}", size=24, **text)
        axes.text(column, row + 0.2, percent, size=12, **text)
    axes.set_xticks([0, 1], [f"called {name}" for name in CLASS_NAMES], size=11, color=INK)
    names = [f"{name}\n{rows[i, 0]:,} films" for i, name in enumerate(CLASS_NAMES)]
    axes.set_yticks([0, 1], names, size=11, color=INK)
    axes.tick_params(length=0, pad=6)
    axes.axhline(0.5, color="white", linewidth=4)
    axes.axvline(0.5, color="white", linewidth=4)
    axes.spines[:].set_visible(False)
    return figure


def reliability_chart(bins: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Observed share against probability, with the number of films of each bin.

    Args:
      bins: rows of `calibration.reliability` as mappings, by the name of their probabilities.
    """
    figure = Figure(figsize=(5.2, 4.6), dpi=150, facecolor="white", layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for axes in (above, below):
        tidy(axes)
    above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed share")
    below.set(xlabel="probability of PNEUMONIA", ylabel="films")
    below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=2))
    above.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
    for (name, rows), colour, shift in zip(
        bins.items(), (MUTED, BLUE), (-0.004, 0.004), strict=False
    ):
        x = np.array([row["mean_probability"] for row in rows])
        y = np.array([row["observed"] for row in rows])
        limits = np.array([[row["interval"][end] for row in rows] for end in ("low", "high")])
        above.vlines(x + shift, *limits, color=colour, alpha=0.5, linewidth=1.5)
        above.plot(x + shift, y, "o-", color=colour, markersize=5, linewidth=1.3, label=name)
        below.bar(x + shift, [row["films"] for row in rows], width=0.012, color=colour)
    above.legend(loc="upper left", frameon=False, fontsize=11)
    return figure


def training_chart(history: Sequence[Mapping[str, Any]], chosen: int | None) -> Figure:
    """Loss, and sensitivity and specificity of validation at 0.5, by epoch.

    Args:
      history: one mapping per epoch, at least one; None or an absent key leaves a gap.
      chosen: the epoch whose checkpoint is evaluated, marked.
    """
    figure = Figure(figsize=(5.2, 4.6), dpi=150, facecolor="white", layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    epochs = [row["epoch"] for row in history]
    panels = (
        (above, "loss", {"train_loss": ("training", BLUE), "val_loss": ("validation", ORANGE)}),
        (
            below,
            "validation at 0.5",
            {"val_sensitivity": ("sensitivity", BLUE), "val_specificity": ("specificity", ORANGE)},
        ),
    )
    for axes, title, lines in panels:
        tidy(axes)
        axes.set_ylabel(title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        if chosen is not None:
            axes.axvline(chosen, color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
        for key, (name, colour) in lines.items():
            values = [np.nan if row.get(key) is None else float(row[key]) for row in history]
            if not np.isnan(values).all():
                marker = "o" if len(epochs) <= 20 else ""
                axes.plot(epochs, values, marker=marker, color=colour, label=name, linewidth=2)
        if axes.lines[1:]:
            axes.legend(frameon=False, fontsize=11)
    above.set_ylim(bottom=0)
    below.set_ylim(top=1.02)
    below.set_xlabel("epoch")
    return figure


def signed(figure: Figure, synthetic: bool) -> Figure:
    """The picture with the disclaimer below and, for drawn films, the stamp."""
    if synthetic:
        text = f"{SYNTHETIC_STAMP}. {DISCLAIMER}"
        figure.supxlabel(text, size=9, weight="bold", color=ORANGE)
    else:
        figure.supxlabel(DISCLAIMER, size=8, color=MUTED)
    return figure


def card(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """An empty white picture with one pair of axes."""
    figure = Figure(figsize=size, dpi=150, facecolor="white", layout="constrained")
    axes = figure.subplots()
    tidy(axes)
    return figure, axes


def tidy(axes: Axes) -> None:
    """Axes without a frame, legible when the picture is 360 pixels wide."""
    axes.set_axisbelow(True)
    axes.grid(color=RULE, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=11)
    axes.xaxis.label.set(color=INK, size=12)
    axes.yaxis.label.set(color=INK, size=12)


def _empty(figure: Figure, axes: Axes, reason: str) -> Figure:
    axes.text(0.5, 0.5, f"no curve: {reason}", ha="center", color=INK, size=12)
    return figure
