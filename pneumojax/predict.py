"""A run's network on single files and folders: a table on the terminal and a CSV."""

import math
import os
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pneumojax.data.decoding import FilmError, Preprocessing, read_film
from pneumojax.data.films import SUFFIXES
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.evaluation.decision import Decision
from pneumojax.files import write_csv
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.training.step import make_evaluation_step
from pneumojax.training.trained import open_run

COLUMNS = ("file", "probability", "call", "note", "trained_on", "disclaimer")
CLASSES = ("normal", "pneumonia")
MOST_SHOWN = 50
LARGEST_BATCH = 64


def predict_files(workdir: Path, inputs: list[str], output: str | None = None) -> int:
    """Predicts every film named, or lying in a folder named; a bad file never stops the others.

    Args:
        workdir: the run folder, absolute.
        inputs: files and folders.
        output: CSV to write; by default the first free `predictions*.csv` in the run folder.

    Returns:
        How many files could not be read.

    Raises:
        UserError: nothing to predict, no such run, or `output` exists.
    """
    path = _output_path(workdir, output)
    files = find_files(inputs)
    trained = open_run(workdir)
    meta, decision, devices = trained.meta, trained.decision, trained.mesh.size
    preprocessing = Preprocessing(**meta["preprocessing"])
    evaluation_step = jax.jit(make_evaluation_step(trained.network, trained.mesh))
    share = devices if len(files) <= devices else FILMS_IN_CACHE * devices  # whole microbatches
    batch_size = share * max(1, min(LARGEST_BATCH // share, math.ceil(len(files) / share)))

    trained_on = "synthetic films" if meta["synthetic"] else Path(trained.config.data.root).name
    rows: list[tuple[str, ...]] = []
    for start in range(0, len(files), batch_size):
        chunk = files[start : start + batch_size]
        images, reasons = _decode(chunk, preprocessing, batch_size)
        probabilities = decision.probabilities(evaluation_step(trained.params, images))
        for file, value, reason in zip(chunk, probabilities, reasons, strict=False):
            said = ("", "") if reason else _say(value, decision)
            rows.append((str(file), *said, reason, trained_on, DISCLAIMER))
    write_csv(path, COLUMNS, rows)
    _print_table(rows, trained_on, decision.threshold)
    print(f"written to {path}")
    return sum(bool(row[3]) for row in rows)


def find_files(inputs: list[str]) -> list[Path]:
    """The files named and, sorted, the films anywhere below the folders named.

    Raises:
        UserError: a path does not exist, or there is no film at all.
    """
    files: list[Path] = []
    for name in inputs:
        path = Path(name).expanduser()
        if path.is_dir():
            files += sorted(
                file
                for file in path.rglob("*")
                if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
            )
        elif path.exists():
            files.append(path)
        else:
            raise UserError(f"--mode=predict: {name!r} does not exist")
    if not files:
        raise UserError("--mode=predict: name at least one film, or a folder of films")
    return files


def _decode(
    files: list[Path], preprocessing: Preprocessing, batch_size: int
) -> tuple[np.ndarray, list[str]]:
    """uint8 (batch_size, size, size, 1), zeros where there is no film, and why there is none."""
    side = preprocessing.image_size
    images = np.zeros((batch_size, side, side, 1), np.uint8)
    reasons = []
    for i, file in enumerate(files):
        try:
            images[i, ..., 0] = read_film(file, preprocessing).pixels
            reasons.append("")
        except FilmError as error:
            reasons.append(str(error))
    return images, reasons


def _say(value: float, decision: Decision) -> tuple[str, str]:
    return f"{value:.4f}", CLASSES[int(decision.calls(value))]


def _output_path(workdir: Path, output: str | None) -> Path:
    if output is not None:
        path = Path(output).expanduser().resolve()
        if path.exists():
            raise UserError(f"--output: {str(path)!r} exists; name another file")
        return path
    names = (f"predictions{suffix}.csv" for suffix in ("", *(f"-{i}" for i in range(2, 10_000))))
    return next(workdir / name for name in names if not (workdir / name).exists())


def _print_table(rows: list[tuple[str, ...]], trained_on: str, threshold: float) -> None:
    table = Table(title=f"Probability of pneumonia (network trained on {trained_on})")
    table.add_column("file", overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column(f"call at {threshold:.3g}")
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(row[0])) for row in rows])
    for file, value, called, note, *_ in rows[:MOST_SHOWN]:
        name = os.path.relpath(file, folder)
        table.add_row(escape(name), value, called or f"unreadable: {note}")
    console = Console(highlight=False)
    console.print(f"films below {folder}", markup=False, soft_wrap=True)
    console.print(table)
    if len(rows) > MOST_SHOWN:
        console.print(f"... and {len(rows) - MOST_SHOWN:,} more in the CSV")
    console.print(DISCLAIMER)
