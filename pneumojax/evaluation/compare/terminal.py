"""Prints a comparison as tables."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.compare import rows
from pneumojax.evaluation.compare.result import ComparisonResult
from pneumojax.evaluation.wording import limits_of, value_of

_HEADLINE = ("sensitivity", "specificity", "auroc", "accuracy")


def print_comparison(result: ComparisonResult) -> None:
    """Prints a comparison in 80 columns, and without colour into a pipe."""
    console = Console(highlight=False, emoji=False)

    def say(line: str, style: str | None = None) -> None:
        console.print(line, style=style, markup=False, soft_wrap=True)

    for line in result.warnings:
        say(f"warning: {line}", "bold yellow")
    for line in rows.heading(result):
        say(line)
    if result.synthetic:
        say(SYNTHETIC_STAMP, "bold yellow")
    of_each = []
    for name, network in result.comparison.networks.items():
        shown = [network.estimates[metric] for metric in _HEADLINE]
        of_each.append((name, *(f"{value_of(e)}\n{limits_of(e)}" for e in shown)))
    console.print(_table(("", *map(rows.title, _HEADLINE)), of_each))
    console.print(_table(rows.HEADER, rows.difference_rows(result)))
    for line in rows.config_lines(result.configs):
        say(line)
    for note in rows.notes(result):
        console.print(note, markup=False)
    console.print(DISCLAIMER, style="bold")


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(header):
        table.add_column(column, justify="left" if i == 0 or column == "metric" else "right")
    for line in lines:
        table.add_row(*map(Text, line))
    return table
