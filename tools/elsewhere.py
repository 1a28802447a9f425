"""Scores a run on films of another hospital, within each view, by a table with their facts.

Command:   python -m tools.elsewhere --films=<table> [--workdir=<run folder>] [--write]
Without --workdir it scores the reference network. --write stores the figures by the name of the
network, which must be a published one; the model card shows them.

The view is confounded with the label, since the ill are filmed in bed, so that a network that reads
the view alone would rank films of both views well. Only films that radiologists read are counted.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pneumojax.files import write_json
from pneumojax.shipped import is_published, named_run, reference_run
from pneumojax.stats.estimates import Limited
from pneumojax.stats.intervals import wilson
from pneumojax.stats.metrics import call, confusion
from tools.docs.reference_card import shown
from tools.protocols import Figure

STORED = Path(__file__).resolve().parents[1] / "records" / "reference" / "elsewhere.json"
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

    rows = read_films(table)
    model = pneumojax.load(workdir)
    answers = model.predict([table.parent / row["path"] for row in rows])
    labels = np.array([row["label"] == "PNEUMONIA" for row in rows], np.int64)
    views = np.array([row["view"] for row in rows])
    return figures_within_views(labels, views, answers.probability, answers.threshold)


def read_films(table: Path) -> list[dict[str, str]]:
    """Reads the rows of the films that radiologists read."""
    with open(table, newline="") as file:
        return [row for row in csv.DictReader(file) if row["read_by"].startswith(READ_BY)]


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
    shares = called_shares(labels, probability, threshold)
    return figures | {f"elsewhere_{name}": figure for name, figure in shares.items()}


def called_shares(labels: Any, probability: Any, threshold: float) -> dict[str, Figure]:
    """The "sensitivity" and "specificity" of calls at a threshold, with Wilson's interval."""
    counted = confusion(labels, call(probability, threshold))
    of_class = {
        "sensitivity": (int(counted.tp), int(counted.tp + counted.fn)),
        "specificity": (int(counted.tn), int(counted.tn + counted.fp)),
    }
    return {
        name: dict(vars(Limited.of(hits / total, wilson(hits, total), "wilson")))
        for name, (hits, total) in of_class.items()
    }


def main() -> None:
    """Scores one run, prints its figures, and stores them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=Path, required=True, help="a table of their facts")
    parser.add_argument(
        "--workdir", default=str(reference_run()), help="a run, or a network's name"
    )
    parser.add_argument("--write", action="store_true", help="store a published network's figures")
    arguments = parser.parse_args()
    workdir = named_run(arguments.workdir)
    if arguments.write and not is_published(workdir):
        sys.exit("error: --write: only the figures of published networks are stored")
    figures = elsewhere_figures(workdir, arguments.films)
    for name, figure in figures.items():
        print(f"{name:24} {shown(figure)}")
    if arguments.write:
        films = len(read_films(arguments.films))
        found = {"set": arguments.films.parent.name, "films": films, "figures": figures}
        write_json(STORED, json.loads(STORED.read_text()) | {workdir.name: found})


if __name__ == "__main__":
    main()
