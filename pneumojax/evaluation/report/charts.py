"""Charts of the metrics, legible on a phone. They are drawn without pyplot's global state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.style import DASHED, card, empty_card, tidy
from pneumojax.evaluation.summary import Summary
from pneumojax.palette import BLUE, INK, MUTED, ORANGE, PAPER
from pneumojax.stats.calibration import Bin
from pneumojax.stats.curves import (
    average_precision,
    precision_recall_band,
    precision_recall_curve,
    roc_band,
    roc_curve,
)
from pneumojax.stats.metrics import Confusion, auroc

_GRID = np.linspace(0, 1, 101)
_SHARE = (-0.02, 1.02)  # limits of an axis from 0 to 1


def draw_charts(evaluation: Evaluation) -> dict[str, Figure]:
    summary, predictions = evaluation.summary, evaluation.predictions
    bins = {"as trained": summary.uncalibrated.bins}
    if summary.decision.temperature != 1:
        bins["after temperature scaling"] = summary.calibrated.bins
    # Draws depend on the order of the keys, so the names of films stand for unknown patients.
    patients = predictions.files if predictions.patients is None else predictions.patients
    films = predictions.labels, predictions.logits, patients
    drawn = {
        "roc": roc_chart(*films, _points(summary)),
        "precision_recall": precision_recall_chart(*films),
        "confusion": confusion_chart(summary.calls.confusion, summary.class_names),
        "reliability": reliability_chart(bins, summary.class_names.positive),
    }
    if evaluation.facts.history:
        drawn["training"] = training_chart(evaluation.facts.history, evaluation.facts.epoch)
    return drawn


def _points(summary: Summary) -> dict[str, tuple[float, float]]:
    points = {}
    sides = {f"at {summary.decision.threshold:.3g}": summary.calls, "at 0.5": summary.at_half}
    for name, calls in sides.items():
        pair = calls.estimates["sensitivity"].value, calls.estimates["specificity"].value
        if not np.isnan(pair).any():
            points[name] = pair
    return points


def roc_chart(
    labels: ArrayLike,
    logits: ArrayLike,
    patients: Sequence[str] | NDArray,
    points: Mapping[str, tuple[float, float]],
) -> Figure:
    """The ROC curve with its band, and the (sensitivity, specificity) of points by their names."""
    figure, axes = card()
    axes.set(xlim=_SHARE, ylim=_SHARE, xlabel="1 - specificity", ylabel="sensitivity")
    if np.isnan(auroc(labels, logits)):
        return _empty(figure, axes, "films of one class only")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DASHED)
    low, high = roc_band(labels, logits, patients, _GRID)
    axes.fill_between(_GRID, low, high, color=BLUE, alpha=0.18, linewidth=0)
    rates, sensitivity, _ = roc_curve(labels, logits)
    axes.plot(rates, sensitivity, color=BLUE, linewidth=2.2)
    for (name, (y, specificity)), marker in zip(points.items(), "os", strict=False):
        axes.plot(1 - specificity, y, marker, color=ORANGE, markersize=8, mec=PAPER, label=name)
    axes.legend(loc="lower right", frameon=False, fontsize=11, labelcolor=INK)
    return figure


def precision_recall_chart(
    labels: ArrayLike, logits: ArrayLike, patients: Sequence[str] | NDArray
) -> Figure:
    figure, axes = card()
    axes.set(xlim=_SHARE, ylim=_SHARE, xlabel="recall (sensitivity)", ylabel="precision (PPV)")
    truth = np.asarray(labels)
    if np.isnan(average_precision(truth, logits)) or truth.all():
        return _empty(figure, axes, "films of one class only")
    axes.axhline(truth.mean(), color=MUTED, linewidth=1, linestyle=DASHED)
    axes.text(0, truth.mean() - 0.02, "chance: the prevalence", color=MUTED, size=10, va="top")
    grid = _GRID[1:]
    low, high = precision_recall_band(truth, logits, patients, grid)
    axes.fill_between(grid, low, high, color=BLUE, alpha=0.18, linewidth=0)
    precision, recall, _ = precision_recall_curve(truth, logits)
    axes.step(recall, precision, where="pre", color=BLUE, linewidth=2.2)
    return figure


def confusion_chart(counts: Confusion, class_names: ClassNames = CLASS_NAMES) -> Figure:
    """The confusion matrix: counts, and each as a share of its row (the film's own class)."""
    cells = np.array([[counts.tn, counts.fp], [counts.fn, counts.tp]])
    rows = cells.sum(axis=1, keepdims=True)
    shares = cells / np.maximum(rows, 1)
    figure = empty_card()
    axes = figure.subplots()
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5))
    for row, column in np.ndindex(2, 2):
        share = shares[row, column]
        corner = column - 0.5, row - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=BLUE, alpha=0.06 + 0.94 * share))
        colour = PAPER if share > 0.55 else INK
        text: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
        percent = f"{100 * share:.1f} %" if rows[row, 0] else "no films"
        axes.text(column, row - 0.08, f"{cells[row, column]:,}", size=24, **text)
        axes.text(column, row + 0.2, percent, size=12, **text)
    axes.set_xticks([0, 1], [f"called {name}" for name in class_names], size=11, color=INK)
    names = [f"{name}\n{rows[i, 0]:,} films" for i, name in enumerate(class_names)]
    axes.set_yticks([0, 1], names, size=11, color=INK)
    axes.tick_params(length=0, pad=6)
    axes.axhline(0.5, color=PAPER, linewidth=4)
    axes.axvline(0.5, color=PAPER, linewidth=4)
    axes.spines[:].set_visible(False)
    return figure


def reliability_chart(
    bins: Mapping[str, Sequence[Bin]], positive: str = CLASS_NAMES.positive
) -> Figure:
    """Observed share over probability, with the number of films of each bin."""
    figure = empty_card()
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    for axes in (above, below):
        tidy(axes)
    above.set(xlim=_SHARE, ylim=_SHARE, ylabel="observed share")
    below.set(xlabel=f"probability of {positive}", ylabel="films")
    below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=2))
    above.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DASHED)
    looks = ((MUTED, -0.004), (BLUE, 0.004))
    for (name, rows), (colour, shift) in zip(bins.items(), looks, strict=False):
        x = np.array([row.mean_probability for row in rows])
        y = np.array([row.observed for row in rows])
        limits = np.array([row.interval for row in rows]).T
        above.vlines(x + shift, *limits, color=colour, alpha=0.5, linewidth=1.5)
        above.plot(x + shift, y, "o-", color=colour, markersize=5, linewidth=1.3, label=name)
        below.bar(x + shift, [row.films for row in rows], width=0.012, color=colour)
    above.legend(loc="upper left", frameon=False, fontsize=11, labelcolor=INK)
    return figure


def training_chart(history: Sequence[Mapping[str, Any]], chosen: int | None) -> Figure:
    """Loss, and sensitivity and specificity of validation at 0.5, by epoch; `chosen` is marked.

    None or an absent key leaves a gap.
    """
    figure = empty_card()
    above, below = figure.subplots(2, 1, sharex=True)
    epochs = [row["epoch"] for row in history]
    losses = {"train_loss": ("training", BLUE), "val_loss": ("validation", ORANGE)}
    rates = {"val_sensitivity": ("sensitivity", BLUE), "val_specificity": ("specificity", ORANGE)}
    for axes, title, lines in ((above, "loss", losses), (below, "validation at 0.5", rates)):
        tidy(axes)
        axes.set_ylabel(title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        if chosen is not None:
            axes.axvline(chosen, color=MUTED, linewidth=1, linestyle=DASHED)
        for key, (name, colour) in lines.items():
            values = [np.nan if row.get(key) is None else float(row[key]) for row in history]
            if not np.isnan(values).all():
                marker = "o" if len(epochs) <= 20 else ""
                axes.plot(epochs, values, marker=marker, color=colour, label=name, linewidth=2)
        if axes.lines[1:]:
            axes.legend(frameon=False, fontsize=11, labelcolor=INK)
    above.set_ylim(bottom=0)
    below.set_ylim(top=1.02)
    below.set_xlabel("epoch")
    return figure


def _empty(figure: Figure, axes: Axes, reason: str) -> Figure:
    axes.text(
        0.5,
        0.5,
        f"There is no curve,\nbecause there are {reason}.",
        ha="center",
        color=INK,
        size=12,
    )
    return figure
