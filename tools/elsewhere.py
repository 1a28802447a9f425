"""Scores a run on films of another hospital, within each view, by a table with their facts.

The view is confounded with the label, since the ill are filmed in bed, so that a network that reads
the view alone would rank films of both views well. Only films that radiologists read are counted.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from pneumojax.stats.estimates import Limited
from pneumojax.stats.intervals import wilson
from pneumojax.stats.metrics import call, confusion
from tools.protocols import Figure

VIEWS = ("AP", "PA")
READ_BY = "radiologists"


def elsewhere_figures(workdir: Path, table: Path) -> dict[str, Figure]:
    """Predicts the films of a table that radiologists read, and scores them.

    Args:
        workdir: the run folder.
        table: a CSV file with the columns path, label, view and read_by; its paths are relative to
            it. Class 1 has the label PNEUMONIA.

    Returns:
        {name: {"value", "low", "high", "method"}}: "elsewhere_auroc_ap", "elsewhere_auroc_pa" and
        their mean "elsewhere_auroc", which has no interval, and "elsewhere_sensitivity" and
        "elsewhere_specificity" at the run's threshold.
    """
    import pneumojax  # imported late: a plan is read and checked without JAX

    with open(table, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["read_by"].startswith(READ_BY)]
    model = pneumojax.load(workdir)
    answers = model.predict([table.parent / row["path"] for row in rows])
    labels = np.array([row["label"] == "PNEUMONIA" for row in rows], np.int64)
    views = np.array([row["view"] for row in rows])
    return figures_within_views(labels, views, answers.probability, answers.threshold)


def figures_within_views(
    labels: Any, views: Any, probability: Any, threshold: float
) -> dict[str, Figure]:
    """The figures of `elsewhere_figures` from arrays (n,) of labels, views and probabilities."""
    figures: dict[str, Figure] = {}
    for view in VIEWS:
        of_view = labels[views == view], probability[views == view]
        figures[f"elsewhere_auroc_{view.lower()}"] = dict(vars(Limited.of_auroc(*of_view)))
    mean = float(np.mean([figure["value"] for figure in figures.values()]))
    figures["elsewhere_auroc"] = {"value": mean, "low": None, "high": None, "method": "mean"}
    counted = confusion(labels, call(probability, threshold))
    for name, hits, total in (
        ("sensitivity", counted.tp, counted.tp + counted.fn),
        ("specificity", counted.tn, counted.tn + counted.fp),
    ):
        share = Limited.of(int(hits) / int(total), wilson(int(hits), int(total)), "wilson")
        figures[f"elsewhere_{name}"] = dict(vars(share))
    return figures
