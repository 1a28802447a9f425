"""An evaluation as a table on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pneumojax.data.films import CLASS_NAMES
from pneumojax.disclaimer import SYNTHETIC_STAMP
from pneumojax.evaluation.cautions import cautions
from pneumojax.files import printable

HEADLINE = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "positive_predictive_value": "PPV",
    "negative_predictive_value": "NPV",
    "mcc": "MCC",
}


# Rules by which several networks are called together.
OF_SEVERAL = {
    "out of fold": "as fitted on the films out of fold",
    "mean": "the mean of the networks' own thresholds",
}


def print_table(result: Mapping[str, Any]) -> None:
    """Print what `evaluate` or `write_evaluation` returned, in 80 columns and plain when piped."""
    console = Console(highlight=False)
    level, unit = f"{100 * result['level']:g} %", result["bootstrap"]["unit"]

    for line in cautions(result):
        console.print(line, style="bold yellow")
    people = f" of {result['patients']:,} patients" if result["patients_known"] else ""
    console.print(f"{result['n']:,} films{people}, {result['prevalence']:.1%} PNEUMONIA")
    console.print(printable(decision_line(result["decision"])), markup=False)
    if result.get("synthetic"):
        console.print(SYNTHETIC_STAMP, style="bold yellow")

    headline = _table("", "value", "Wilson/DeLong", f"{unit} bootstrap", "at 0.5")
    for name, title in HEADLINE.items():
        figure = result[name]
        formula = "" if figure["method"].endswith("bootstrap") else limits_of(figure)
        half = value_of(result["at_half"][name]) if name in result["at_half"] else ""
        headline.add_row(title, value_of(figure), formula, limits_of(figure["bootstrap"]), half)
    for pathogen, figure in result["sensitivity_by_pathogen"].items():
        headline.add_row(f"Sensitivity, {pathogen}", value_of(figure), limits_of(figure), "", "")
    console.print(headline)

    classes = _table("", "precision", "recall", "F1", "support")
    for row in result["by_class"]:
        cells = [_number(row[key]) for key in ("precision", "recall", "f1")]
        classes.add_row(row["class"], *cells, f"{row['support']:,}")
    console.print(classes)

    counts = result["confusion"]
    matrix = _table("", *(f"called {name}" for name in CLASS_NAMES))
    for name, keys in zip(CLASS_NAMES, (("tn", "fp"), ("fn", "tp")), strict=True):
        matrix.add_row(name, *(f"{counts[key]:,}" for key in keys))
    console.print(matrix)

    known = "" if result["patients_known"] else " Patients are unknown, so films were drawn."
    console.print(
        f"{level} intervals: Wilson's for shares of films and DeLong's for AUROC take films as "
        f"independent; the bootstrap draws {unit}s, {result['bootstrap']['resamples']:,} times."
        + known
    )
    console.print(result["disclaimer"], style="bold")


def decision_line(decision: Mapping[str, Any]) -> str:
    """Where films are called PNEUMONIA, and where that comes from."""
    line = f"called PNEUMONIA at a probability of {decision['threshold']:.4g} or more"
    if decision["rule"] == "default":
        return f"{line} (nothing fitted: {decision['note']})"
    if decision["rule"] in OF_SEVERAL:
        return f"{line}: {OF_SEVERAL[decision['rule']]}"
    line += f": {decision['rule']} on {decision['films']:,} validation films"
    if decision["note"]:
        return f"{line} ({decision['note']})"
    return f"{line}, temperature {decision['temperature']:.3g}"


def value_of(figure: Mapping[str, Any]) -> str:
    """The value of a figure with three decimals."""
    return _number(figure["value"])


def limits_of(figure: Mapping[str, Any]) -> str:
    """The interval of a figure; one may be open at one end."""
    low, high = figure["low"], figure["high"]
    if low is None and high is None:
        return "no interval"
    if high is None:
        return f"above {_number(low)}"
    return f"{_number(low)} to {_number(high)}"


def _table(first: str, *columns: str) -> Table:
    table = Table(first, box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
