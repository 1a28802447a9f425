"""What a prediction shows on the terminal: progress, a bounded table, a summary."""

import os
import sys
import time
from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.files import printable
from pneumojax.run.seen_films import banner, is_seen
from pneumojax.terminal import duration

MOST_SHOWN = 50  # rows of the table, and as many bad files after it
Row = dict[str, Any]


class Summary:
    """Remembers the first rows, the first bad files after them, and counts the rest."""

    def __init__(self) -> None:
        self._first: list[Row] = []
        self._bad: list[Row] = []
        self._counts: Counter[str] = Counter()
        self._warned = 0
        self._seen = 0

    def add(self, row: Row) -> None:
        """Takes in one row."""
        self._counts[row["call"] or "unreadable"] += 1
        self._warned += bool(row["warnings"])
        self._seen += is_seen(row["warnings"])
        if len(self._first) < MOST_SHOWN:
            self._first.append(row)
        elif not row["call"] and len(self._bad) < MOST_SHOWN:
            self._bad.append(row)

    def show(self, trained_on: str, threshold: float) -> None:
        """Prints what the network has seen before, the table, the bad files and the counts."""
        console = Console(highlight=False)
        answered = sum(count for call, count in self._counts.items() if call != "unreadable")
        if line := banner(self._seen, answered):
            console.print(line, style="bold yellow", markup=False, soft_wrap=True)
        if self._first:
            console.print(self._table(console, trained_on, threshold))
        rows = sum(self._counts.values())
        if rows > len(self._first):
            console.print(f"... and {rows - len(self._first):,} more in the file")
        for row in self._bad:
            console.print(
                f"unreadable: {printable(row['file'])}: {printable(row['note'])}",
                markup=False,
                soft_wrap=True,
            )
        counted = ", ".join(f"{self._counts[name]:,} {name}" for name in sorted(self._counts))
        warned = f"; {self._warned:,} with a warning" if self._warned else ""
        console.print(f"{rows:,} new: {counted or 'nothing'}{warned}")
        console.print(DISCLAIMER)

    def _table(self, console: Console, trained_on: str, threshold: float) -> Table:
        folder = os.path.commonpath(
            [os.path.dirname(os.path.abspath(r["file"])) for r in self._first]
        )
        console.print(f"films below {printable(folder)}", markup=False, soft_wrap=True)
        films = escape(printable(trained_on))
        table = Table(title=f"Probability of pneumonia (network trained on {films})")
        table.add_column("file", overflow="fold")
        table.add_column("probability", justify="right")
        table.add_column(f"call at {threshold:.3g}")
        table.add_column("warnings", overflow="fold")
        for row in self._first:
            name = escape(printable(os.path.relpath(row["file"], folder)))
            if row["call"]:
                value = f"{row['probability']:.4f}"
                table.add_row(name, value, row["call"], escape("; ".join(row["warnings"])))
            else:
                table.add_row(name, "", "unreadable", escape(printable(row["note"])))
        return table


class Progress:
    """A line on standard error: rewritten on a terminal, every ten seconds elsewhere."""

    def __init__(self, total: int):
        self._left = total
        self._total = total
        self._new = 0
        self._terminal = sys.stderr.isatty()
        self._began = self._shown = time.monotonic()

    def skip(self) -> None:
        """One film was done by an earlier run."""
        self._left -= 1

    def update(self, more: int) -> None:
        """Says that so many more films are done; shows it when it is time to."""
        self._left -= more
        self._new += more
        now = time.monotonic()
        if now - self._shown < (0.5 if self._terminal else 10):
            return
        self._shown = now
        rate = self._new / (now - self._began)
        text = (
            f"{self._total - self._left:,}/{self._total:,} films  {rate:,.0f} films/s  "
            f"{duration(self._left / rate)} left"
        )
        end = "" if self._terminal else "\n"
        print(f"\r{text:<60}" if self._terminal else text, end=end, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Wipes the line."""
        if self._terminal:
            print(f"\r{'':<60}\r", end="", file=sys.stderr, flush=True)
