"""An evaluation as a table on the terminal."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.summary import Summary
from pneumojax.evaluation.wording import (
    HEADLINE,
    decision_line,
    limits_of,
    number,
    titles,
    value_of,
)
from pneumojax.files import printable
from pneumojax.stats.estimates import LEVEL
from pneumojax.terminal import make_console

_ROWS = (
    *HEADLINE,
    "average_precision",
    "accuracy",
    "balanced_accuracy",
    "positive_predictive_value",
    "negative_predictive_value",
    "mcc",
)


def print_table(summary: Summary, *, cautions: Iterable[str] = (), synthetic: bool = False) -> None:
    """Prints the metrics in 80 columns, and plain when piped."""
    console = make_console()
    for line in cautions:
        console.print(printable(line), style="bold yellow", markup=False)
    people = "" if summary.patients is None else f" of {summary.patients:,} patients"
    console.print(
        f"{summary.n:,} films{people}, {summary.prevalence:.1%} {summary.class_names.positive}",
        markup=False,
    )
    console.print(printable(decision_line(summary.decision, summary.class_names)), markup=False)
    if synthetic:
        console.print(SYNTHETIC_STAMP, style="bold yellow")
    for part in (_metrics(summary), _classes(summary), _confusion(summary)):
        console.print(part)
    unit = summary.bootstrap.unit
    known = " Patients are unknown, so films were drawn." if summary.patients is None else ""
    console.print(
        f"{100 * LEVEL:g} % intervals: Wilson's for shares of films and DeLong's for AUROC treat "
        f"films as independent; the bootstrap draws {unit}s, {summary.bootstrap.resamples:,} "
        f"times.{known}"
    )
    console.print(DISCLAIMER, style="bold")


def _metrics(summary: Summary) -> Table:
    rows, named = [], titles(summary.class_names, short=True)
    for name in _ROWS:
        estimate = summary.estimates[name]
        closed = "" if estimate.method.endswith("bootstrap") else limits_of(estimate)
        at_half = summary.at_half.estimates
        half = value_of(at_half[name]) if name in at_half else ""
        bootstrap = limits_of(estimate.bootstrap)
        rows.append((named[name], value_of(estimate), closed, bootstrap, half))
    for pathogen, share in summary.sensitivity_by_pathogen.items():
        rows.append((f"Sensitivity, {pathogen}", value_of(share), limits_of(share), "", ""))
    bootstrap = f"{summary.bootstrap.unit} bootstrap"
    return table(("", "value", "Wilson/DeLong", bootstrap, "at 0.5"), rows)


def _classes(summary: Summary) -> Table:
    rows = [
        (row.name, *map(number, (row.precision, row.recall, row.f1)), f"{row.support:,}")
        for row in summary.by_class
    ]
    return table(("", "precision", "recall", "F1", "support"), rows)


def _confusion(summary: Summary) -> Table:
    counts = summary.calls.confusion
    rows = ((counts.tn, counts.fp), (counts.fn, counts.tp))
    cells = [
        (name, *(f"{count:,}" for count in row))
        for name, row in zip(summary.class_names, rows, strict=True)
    ]
    return table(("", *(f"called {name}" for name in summary.class_names)), cells)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of text; the first column and the column "metric" are aligned on the left."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(header):
        made.add_column(column, justify="left" if i == 0 or column == "metric" else "right")
    for row in rows:
        made.add_row(*map(Text, row))
    return made
