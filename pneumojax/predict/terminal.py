"""Terminal output of a prediction: progress, a table of limited length, a summary."""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from pneumojax.data.classes import CLASS_NAMES
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.files import printable
from pneumojax.predict.prediction import Prediction, RunStamp
from pneumojax.run.film_list import banner, is_seen
from pneumojax.terminal import Progress, make_console, rate

if TYPE_CHECKING:
    from rich.console import Console

MOST_SHOWN = 50  # rows of the table, and unreadable files below it


class Summary:
    """Counts all predictions; keeps the first ones and the first unreadable files after them."""

    def __init__(self, finding: str = CLASS_NAMES.words.positive) -> None:
        self._finding = finding  # the positive class in a sentence
        self._first: list[Prediction] = []
        self._unreadable: list[Prediction] = []
        self._counts: Counter[str] = Counter()
        self._warned = 0
        self._seen = 0

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Adds the predictions of a batch."""
        for each in predictions:
            self._counts[each.call or "unreadable"] += 1
            self._warned += bool(each.warnings)
            self._seen += is_seen(each.warnings)
            if len(self._first) < MOST_SHOWN:
                self._first.append(each)
            elif not each.call and len(self._unreadable) < MOST_SHOWN:
                self._unreadable.append(each)

    def show(self, stamp: RunStamp) -> None:
        """Prints the warning about training films, the table, unreadable files and the counts."""
        console = make_console(whole_names=True)
        say = partial(console.print, markup=False, soft_wrap=True)
        answered = sum(count for call, count in self._counts.items() if call != "unreadable")
        if line := banner(self._seen, answered):
            say(line, style="bold yellow")
        if self._first:
            self._print_table(console, stamp)
        rows = sum(self._counts.values())
        if rows > len(self._first):
            console.print(f"... and {rows - len(self._first):,} more in the file")
        for each in self._unreadable:
            say(f"unreadable: {printable(each.file)}: {printable(each.note)}")
        counted = ", ".join(f"{self._counts[name]:,} {name}" for name in sorted(self._counts))
        warned = f"; {self._warned:,} with a warning" if self._warned else ""
        console.print(f"{rows:,} new: {counted or 'nothing'}{warned}")
        console.print(DISCLAIMER)

    def _print_table(self, console: "Console", stamp: RunStamp) -> None:
        paths = [os.path.abspath(each.file) for each in self._first]
        folder = os.path.commonpath([os.path.dirname(path) for path in paths])
        console.print(f"films below {printable(folder)}", markup=False, soft_wrap=True)
        films = escape(printable(stamp.trained_on))
        finding = escape(printable(self._finding))
        table = Table(title=f"Probability of {finding} (network trained on {films})")
        table.add_column("file", overflow="fold")
        table.add_column("probability", justify="right")
        table.add_column(f"call at {stamp.threshold:.3g}")
        table.add_column("warnings", overflow="fold")
        for each in self._first:
            name = escape(printable(os.path.relpath(each.file, folder)))
            if each.call:
                warnings = escape("; ".join(each.warnings))
                table.add_row(name, f"{each.probability:.4f}", each.call, warnings)
            else:
                table.add_row(name, "", "unreadable", escape(printable(each.note)))
        console.print(table)


class FilmProgress:
    """Shows on standard error how many films are done, and how long the rest takes."""

    def __init__(self, total: int):
        self._total = total
        self._new = self._skipped = 0
        self._progress = Progress(sys.stderr)
        self._began = time.monotonic()

    def skip(self) -> None:
        """Counts a film that an earlier run has done."""
        self._skipped += 1

    def update(self, films: int) -> None:
        """Counts films that are done, and shows the progress when it is time to."""
        self._new += films
        if self._progress.is_due():
            done, seconds = self._skipped + self._new, time.monotonic() - self._began
            self._progress.show(rate(done, self._total, seconds, earlier=self._skipped))

    def close(self) -> None:
        """Wipes the line."""
        self._progress.close()
