"""The list of runs: printed as a table, and written as CSV or as a page."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.files import printable, replacing, write_csv
from pneumojax.run_list.records import RunRecord, find_runs
from pneumojax.run_list.selection import changed_fields, select
from pneumojax.templates import environment
from pneumojax.terminal import duration, plain_table

FIGURES = ("auroc", "sensitivity", "specificity", "accuracy")
_TEMPLATES = Path(__file__).parent / "templates"
MOST_FIELDS = 6  # columns of the config in the terminal
_LONGEST_CELL = 40  # characters in the terminal; CSV and page show all


@dataclass(frozen=True)
class Listing:
    """Rows of texts below a header, for runs in their order."""

    header: list[str]
    rows: list[list[str]]


def list_runs(
    root: Path, *, where: str | None = None, sort: str | None = None, output: Path | None = None
) -> list[RunRecord]:
    """Prints the selected runs below `root`, or writes them to a file by its ending.

    Raises UserError for another ending than .csv and .html, and as `select`.
    """
    if output is not None and output.suffix.lower() not in (".csv", ".html"):
        raise UserError(f"{output.name!r} ends in neither .csv nor .html", flag="output")
    runs = select(find_runs(root), where, sort)
    listing = listed(runs)
    if output is None:
        hidden = max(0, len(changed_fields(runs)) - MOST_FIELDS)
        shown = len(listing.header) - hidden
        rows = [[_short(printable(cell)) for cell in row[:shown]] for row in listing.rows]
        print(plain_table(listing.header[:shown], rows))
        if hidden:
            print(f"{hidden} more fields differ; --output=runs.csv and --output=runs.html have all")
    elif output.suffix.lower() == ".csv":
        write_csv(output, *_table(runs))
        print(f"{len(runs):,} runs written to {printable(str(output))}")
    else:
        page = environment(_TEMPLATES, html=True).get_template("runs.html.jinja")
        text = page.render(listing=listing, root=str(root), disclaimer=DISCLAIMER)
        with replacing(output) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
        print(f"{len(runs):,} runs written to {printable(str(output))}")
    return runs


def listed(runs: Sequence[RunRecord]) -> Listing:
    """The table of runs: state, figures with intervals, and the fields that differ."""
    fields = changed_fields(runs)
    figures = [name for name in FIGURES if any(name in run.figures for run in runs)]
    rows = [
        [
            run.name,
            run.state,
            *(str(run.figures[name]) if name in run.figures else "" for name in figures),
            "" if run.films is None else f"{run.films:,}",
            duration(run.seconds) if run.seconds else "",
            *(_text(run, name) for name in fields),
        ]
        for run in runs
    ]
    return Listing(["run", "state", *figures, "films", "time", *fields], rows)


def _table(runs: Sequence[RunRecord]) -> tuple[list[str], list[list[str]]]:
    """The header and rows of the CSV, with numbers in columns of their own."""
    fields = changed_fields(runs)
    parts = ("value", "low", "high")
    limits = [name if part == "value" else f"{name}_{part}" for name in FIGURES for part in parts]
    rows = []
    for run in runs:
        numbers = [
            repr(getattr(run.figures[name], part)) if name in run.figures else ""
            for name in FIGURES
            for part in parts
        ]
        films = "" if run.films is None else str(run.films)
        start = [run.name, str(run.folder), run.state, films, f"{run.seconds:.1f}"]
        rows.append([*start, *numbers, *(_text(run, name) for name in fields)])
    return ["run", "folder", "state", "films", "seconds", *limits, *fields], rows


def selected_folders(sources: Sequence[str], where: str | None, sort: str | None) -> list[str]:
    """The arguments of `compare`; a folder of runs stands for those that `where` selects.

    With neither `where` nor `sort` the arguments stay as they are.
    """
    if where is None and sort is None:
        return list(sources)
    runs = [run for source in sources for run in find_runs(Path(source).expanduser().absolute())]
    return [str(run.folder) for run in select(runs, where, sort)]


def _text(run: RunRecord, field: str) -> str:
    """The value of a field as a config file has it; "" for a run without it."""
    value = run.config.get(field)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 3]}..."
