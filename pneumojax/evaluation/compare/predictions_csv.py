"""Reads what a network said of films: a CSV of predictions, or the one in a run folder."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pneumojax.data.films import CLASS_NAMES
from pneumojax.disclaimer import SYNTHETIC_STAMP
from pneumojax.errors import UserError
from pneumojax.files import from_text
from pneumojax.numerals import decimal
from pneumojax.numerals import probability as probability_of
from pneumojax.stats.metrics import call

THRESHOLD = 0.5  # where a file has no calls
_ROUNDING = 1e-6  # a probability at the threshold may be written on its other side
_ONE_NETWORK = ("threshold", "checkpoint")  # columns that are the same in every row of one network
_SEEN = ("trained_on", "warnings")  # columns that begin with it, of an evaluation or a prediction
_SEEN_TEXT = "the network was trained on "  # as the notes of `pneumojax.data.seen` begin


@dataclass(frozen=True)
class ScoredFilm:
    """One row: label and patient are None where the file does not tell them.

    seen: whether the row says that the network was trained on the film or its patient.
    sha256: of the film's file; "" where the row does not tell it.
    """

    probability: float
    call: int
    label: int | None
    patient: str | None
    seen: bool = False
    sha256: str = ""


@dataclass(frozen=True)
class Scored:
    """One network's predictions.

    path: the CSV.
    films: by the name in its column `file`.
    without_probability: names of films that the network could not read.
    has_calls: whether calls are the file's own; else they are at `THRESHOLD`.
    synthetic: whether the file is stamped as one of synthetic films.
    threshold: of the column of that name; None where there is none.
    """

    path: Path
    films: Mapping[str, ScoredFilm]
    without_probability: tuple[str, ...]
    has_calls: bool
    synthetic: bool
    threshold: float | None = None

    @property
    def several_thresholds(self) -> bool:
        """Whether no one threshold makes the file's calls, beyond what rounding explains."""
        ill = [film.probability for film in self.films.values() if film.call]
        well = [film.probability for film in self.films.values() if not film.call]
        return bool(ill and well) and max(well) > min(ill) + _ROUNDING


def find_csv(source: Path, split: str | None = None) -> Path:
    """The CSV that a user means: the file itself, or the one of a run or evaluation folder.

    Args:
      source: a CSV, a run folder, or one folder of its `evaluation/`.
      split: which evaluation of a run folder; its validation, "val", by default.

    Raises:
      UserError: there is none; for a run folder with the evaluations that it has.
    """
    name = repr(str(source))
    if source.is_file():
        return source
    if not source.is_dir():
        raise UserError(f"--mode=compare: {name} does not exist")
    # A run folder may hold a predictions.csv of its own, of films without labels.
    if (source / "evaluation").is_dir():
        wanted = source / "evaluation" / (split or "val") / "predictions.csv"
        if wanted.is_file():
            return wanted
        known = sorted(path.parent.name for path in source.glob("evaluation/*/predictions.csv"))
        has = f"it has {', '.join(map(repr, known))}" if known else "it has none"
        raise UserError(
            f"--mode=compare: {name} has no evaluation of {split or 'val'!r}; {has}; name another "
            "with --split, or its folder"
        )
    if (source / "predictions.csv").is_file():
        return source / "predictions.csv"
    raise UserError(
        f"--mode=compare: {name} has neither evaluation/ nor predictions.csv; evaluate the run "
        "first, or name a CSV"
    )


def read_scored(path: Path) -> Scored:
    """The predictions in a CSV with at least the columns `file` and `probability`.

    `label`, `call`, `patient`, `threshold`, `sha256` and whether the network was trained on a film
    are read where they are there. A row without a probability is a film that could not be read.
    Nothing in the file is ever taken for anything but text.

    Raises:
      UserError: unreadable, no such columns, a film named twice, rows of several networks, or a
        value that is none; the line of the file is named.
    """
    name = repr(str(path))
    films: dict[str, ScoredFilm] = {}
    without: dict[str, None] = {}  # in order, and found as fast as in a set
    synthetic = False
    of_network: dict[str, str] = {}
    try:
        # utf-8-sig: spreadsheets write a mark in front. Other bytes of file names survive.
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            rows = csv.DictReader(stream, strict=True)
            columns = rows.fieldnames or []
            if missing := [c for c in ("file", "probability") if c not in columns]:
                raise UserError(
                    f"{name} has no column {' and '.join(map(repr, missing))}; its first line "
                    f"reads {','.join(columns)[:80]!r}"
                )
            for row in rows:
                where = f"{name}, line {rows.line_num}"
                if None in row or None in row.values():
                    raise UserError(f"{where}: not as many cells as the first line has")
                file = from_text(row["file"])
                if file in films or file in without:
                    raise UserError(f"{where}: {file!r} is there twice")
                synthetic |= SYNTHETIC_STAMP in row.get("disclaimer", "")
                _check_network(row, of_network, where)
                if row["probability"]:
                    films[file] = _film(row, where)
                else:
                    without[file] = None
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from error
    except csv.Error as error:
        raise UserError(f"{name} is no CSV of predictions: {error}") from error
    if not films:
        raise UserError(f"{name} holds no film with a probability")
    threshold = _threshold(of_network.get("threshold", ""), name)
    return Scored(path, films, tuple(without), "call" in columns, synthetic, threshold)


def _check_network(row: Mapping[str, str], before: dict[str, str], where: str) -> None:
    """Refuses a row of another network, or of another threshold, than the rows before it."""
    for column in _ONE_NETWORK:
        value = row.get(column, "")
        if value != before.setdefault(column, value):
            raise UserError(
                f"{where}: {column} {value!r}, but {before[column]!r} in the rows before; compare "
                "the rows of each network on their own, or remove the column if they are to count "
                "as one"
            )


def _threshold(text: str, name: str) -> float | None:
    if not text:
        return None
    try:
        return decimal(text)
    except ValueError as error:
        raise UserError(f"{name}: threshold {error}") from error


def _film(row: Mapping[str, str], where: str) -> ScoredFilm:
    try:
        probability = probability_of(row["probability"])
    except ValueError as error:
        raise UserError(
            f"{where}: {row['probability']!r} is no probability between 0 and 1"
        ) from error
    label, called = _class(row, "label", where), _class(row, "call", where)
    return ScoredFilm(
        probability=probability,
        call=int(call(probability, THRESHOLD)) if called is None else called,
        label=label,
        patient=from_text(row.get("patient", "")) or None,
        seen=any(row.get(column, "").startswith(_SEEN_TEXT) for column in _SEEN),
        sha256=row.get("sha256", "").lower(),
    )


def _class(row: Mapping[str, str], column: str, where: str) -> int | None:
    """Class by name in any case; None where there is no such column, or a label is empty."""
    text = row.get(column, "").strip()
    if column not in row or not text and column == "label":
        return None
    if text.upper() not in CLASS_NAMES:
        raise UserError(f"{where}: {column} {text!r} is neither {' nor '.join(CLASS_NAMES)}")
    return CLASS_NAMES.index(text.upper())
