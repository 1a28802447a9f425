"""An evaluation as a table on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pneumojax.data.films import CLASS_NAMES
from pneumojax.evaluation.plots import SYNTHETIC_STAMP


def print_table(result: Mapping[str, Any]) -> None:
    """Print what `evaluate` or `write_evaluation` returned, in 80 columns and plain when piped."""
    console = Console(highlight=False)
    level, unit = f"{100 * result['level']:g} %", result["bootstrap"]["unit"]
    drawn = result["bootstrap"]["intervals"]

    people = f" of {result['patients']:,} patients" if result["patients_known"] else ""
    console.print(f"{result['n']:,} films{people}, {result['prevalence']:.1%} PNEUMONIA")
    console.print(f"called PNEUMONIA at a probability of {result['threshold']:g} or more")
    if result.get("synthetic"):
        console.print(SYNTHETIC_STAMP, style="bold yellow")

    headline = _table("", "value", f"{level} Wilson/DeLong", f"{level} {unit} bootstrap")
    for name in ("sensitivity", "specificity", "auroc", "accuracy", "balanced_accuracy"):
        figure = result[name]
        formula = "" if figure["method"].endswith("bootstrap") else _limits(figure)
        title = "AUROC" if name == "auroc" else name.replace("_", " ").capitalize()
        headline.add_row(title, _value(figure), formula, _limits(drawn[name]))
    for pathogen, figure in result["sensitivity_by_pathogen"].items():
        headline.add_row(f"Sensitivity, {pathogen}", _value(figure), _limits(figure), "")
    console.print(headline)

    classes = _table("", "precision", "recall", "F1", "support")
    rows = result["per_class"] | {"weighted": result["weighted"] | {"support": result["n"]}}
    for name, row in rows.items():
        cells = [
            f"{_value(row[key])}\n{_limits(row[key])}" for key in ("precision", "recall", "f1")
        ]
        classes.add_row(name, *cells, f"{row['support']:,}")
    console.print(classes)

    counts = result["confusion"]
    matrix = _table("", *(f"called {name}" for name in CLASS_NAMES))
    for name, row in zip(CLASS_NAMES, (("tn", "fp"), ("fn", "tp")), strict=True):
        matrix.add_row(name, *(f"{counts[key]:,}" for key in row))
    console.print(matrix)

    console.print(
        f"{level} intervals: Wilson's for shares of films and DeLong's for AUROC, which take "
        f"films as independent; for weighted precision and F1 {result['bootstrap']['resamples']:,}"
        f" bootstrap resamples of {unit}s"
        + ("." if result["patients_known"] else ", since patients are unknown.")
    )
    console.print(result["disclaimer"], style="bold")


def _table(first: str, *columns: str) -> Table:
    table = Table(first, box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _value(figure: Mapping[str, Any]) -> str:
    return "undefined" if figure["value"] is None else f"{figure['value']:.3f}"


def _limits(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return "no interval"
    return f"{figure['low']:.3f} to {figure['high']:.3f}"
