"""Pictures of an evaluation: ROC curve, confusion matrix and curves of training.

Each function returns a Matplotlib figure and leaves saving it to the caller; pyplot and its
global state are not used. Every picture carries the disclaimer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from pneumojax.data.films import CLASS_NAMES
from pneumojax.evaluation.metrics import Confusion, roc_curve

DISCLAIMER = "Research and education only. Not a medical device."
SYNTHETIC_STAMP = "synthetic films"

_INK, _MUTED, _RULE = "#1f2933", "#5f6c7b", "#dde2e8"
_BLUE, _ORANGE = "#1f5fa8", "#c8641b"
_DPI = 200


def roc_figure(
    labels: ArrayLike,
    scores: ArrayLike,
    auroc: Mapping[str, Any],
    counted: Confusion,
    threshold: float,
    *,
    synthetic: bool = False,
) -> Figure:
    """ROC curve of scores (n,) against labels (n,), with the operating point marked.

    Args:
      labels: (n,) of 0 and 1.
      scores: (n,) finite, logits or probabilities.
      auroc: {"value", "low", "high"}, None where undefined; written into the title.
      counted: the confusion matrix at the operating point, shape ().
      threshold: the probability at which it was counted; written beside the point.
      synthetic: stamp the picture.
    """
    figure = _figure((7, 6.4), "ROC curve", f"AUROC {_with_interval(auroc)}", synthetic)
    axes = figure.add_axes((0.115, 0.135, 0.82, 0.72))
    _tidy(axes)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="1 - specificity")
    axes.set_ylabel("Sensitivity")
    axes.grid(color=_RULE, linewidth=0.7)
    if auroc["value"] is None:
        axes.text(0.5, 0.5, "No curve: films of one class only", ha="center", color=_INK, size=12)
        return figure
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (4, 4)))
    axes.text(0.43, 0.405, "chance", color=_MUTED, size=10, va="top")
    false_positive_rate, sensitivity, _ = roc_curve(labels, scores)
    axes.fill_between(false_positive_rate, sensitivity, color=_BLUE, alpha=0.07, linewidth=0)
    axes.plot(false_positive_rate, sensitivity, color=_BLUE, linewidth=2.2, solid_joinstyle="round")
    x, y = 1 - float(counted.specificity), float(counted.sensitivity)
    point: dict[str, Any] = {
        "color": _ORANGE,
        "markersize": 9,
        "markeredgecolor": "white",
        "zorder": 5,
    }
    axes.plot(x, y, "o", clip_on=False, **point)
    # Its text stands in the corner that a curve above chance leaves free, wherever the point is.
    axes.plot(0.615, 0.213, "o", **point)
    axes.text(
        0.64,
        0.235,
        f"called at probability ≥ {threshold:g}\nsensitivity {y:.3f}\nspecificity {1 - x:.3f}",
        va="top",
        color=_ORANGE,
        size=10.5,
        linespacing=1.5,
    )
    return figure


def confusion_figure(counted: Confusion, *, synthetic: bool = False) -> Figure:
    """Confusion matrix, shape (): counts, and each as a share of its row (the film's class)."""
    counts = np.array([[counted.tn, counted.fp], [counted.fn, counted.tp]], dtype=np.int64)
    rows = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(rows, 1)
    subtitle = f"{counts.sum()} films; shade and percentage: share of the film's own class"
    figure = _figure((7, 5.6), "Confusion matrix", subtitle, synthetic)
    axes = figure.add_axes((0.2, 0.16, 0.76, 0.66))
    shade = LinearSegmentedColormap.from_list("shade", ["#f3f6fa", _BLUE])
    axes.imshow(shares, cmap=shade, vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(2, 2):
        ink = "white" if shares[row, column] > 0.55 else _INK
        axes.text(
            column,
            row - 0.07,
            f"{counts[row, column]}",
            ha="center",
            va="center",
            color=ink,
            size=26,
        )
        percent = f"{100 * shares[row, column]:.1f} %" if rows[row, 0] else "no films"
        axes.text(column, row + 0.19, percent, ha="center", va="center", color=ink, size=12)
    axes.set_xticks([0, 1], [f"called {name}" for name in CLASS_NAMES], size=11, color=_INK)
    names = [f"{name}\n{rows[i, 0]} films" for i, name in enumerate(CLASS_NAMES)]
    axes.set_yticks([0, 1], names, size=11, color=_INK)
    axes.tick_params(length=0, pad=8)
    axes.axhline(0.5, color="white", linewidth=4)
    axes.axvline(0.5, color="white", linewidth=4)
    axes.spines[:].set_visible(False)
    return figure


def curves_figure(history: Sequence[Mapping[str, Any]], *, synthetic: bool = False) -> Figure:
    """Loss and accuracy by epoch, training and validation.

    Args:
      history: one mapping per epoch, at least one, with epoch, train_loss and train_accuracy,
        and where there is validation val_loss and val_accuracy; None or nan leaves a gap.
      synthetic: stamp the picture.
    """
    figure = _figure((7, 4.2), "Training", "", synthetic)
    first, last = history[0]["epoch"], history[-1]["epoch"]
    margin = max(0.3, 0.02 * (last - first))
    for left, name, title in ((0.085, "loss", "Loss"), (0.585, "accuracy", "Accuracy")):
        axes = figure.add_axes((left, 0.195, 0.385, 0.555))
        _tidy(axes)
        axes.grid(axis="y", color=_RULE, linewidth=0.7)
        axes.set_title(title, loc="left", size=11, color=_INK, pad=8)
        axes.set_xlabel("Epoch")
        axes.set_xlim(first - margin, last + margin)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        for key, label, colour in (("train", "train", _BLUE), ("val", "validation", _ORANGE)):
            if _has(history, f"{key}_{name}"):
                _curve(axes, history, f"{key}_{name}", label, colour)
        # Nothing is a loss below 0 or an accuracy above 1; the other end follows the run.
        if name == "loss":
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(top=1)
    lines, labels = axes.get_legend_handles_labels()
    figure.legend(
        lines,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.015, 0.91),
        ncols=2,
        frameon=False,
        labelcolor="linecolor",
        fontsize=11,
        handlelength=1.4,
    )
    return figure


def _curve(
    axes: Axes, history: Sequence[Mapping[str, Any]], key: str, label: str, colour: str
) -> None:
    epochs = [row["epoch"] for row in history]
    values = [np.nan if row.get(key) is None else float(row[key]) for row in history]
    # Markers make a run of one epoch visible; many of them would hide the line.
    marker = "o" if len(epochs) <= 20 else ""
    axes.plot(
        epochs,
        values,
        color=colour,
        linewidth=2,
        marker=marker,
        markersize=5,
        label=label,
        clip_on=False,
    )


def _has(history: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(row.get(key) is not None for row in history)


def _figure(size: tuple[float, float], title: str, subtitle: str, synthetic: bool) -> Figure:
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    height = size[1]
    figure.text(0.03, 1 - 0.18 / height, title, size=15, weight="bold", color=_INK, va="top")
    figure.text(0.03, 1 - 0.5 / height, subtitle, size=11, color=_MUTED, va="top")
    figure.text(0.03, 0.12 / height, DISCLAIMER, size=8, color=_MUTED)
    if synthetic:
        figure.text(
            0.97,
            1 - 0.2 / height,
            SYNTHETIC_STAMP,
            size=11,
            weight="bold",
            color=_ORANGE,
            ha="right",
            va="top",
            bbox={"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": _ORANGE},
        )
    return figure


def _tidy(axes: Axes) -> None:
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_MUTED)
    axes.tick_params(colors=_MUTED, labelsize=10)
    axes.xaxis.label.set(color=_INK, size=11)
    axes.yaxis.label.set(color=_INK, size=11)


def _with_interval(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "undefined"
    if figure["low"] is None:
        return f"{figure['value']:.3f} (no interval)"
    return f"{figure['value']:.3f} (95 % interval {figure['low']:.3f} to {figure['high']:.3f})"
