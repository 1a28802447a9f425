"""Reads predictions of films: from a CSV, or from the CSV in a run folder."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.disclaimer import SYNTHETIC_STAMP
from pneumojax.errors import UserError
from pneumojax.evaluation.compare.class_names import find_class_names
from pneumojax.files import from_text
from pneumojax.numerals import decimal
from pneumojax.numerals import probability as probability_of
from pneumojax.stats.metrics import call

THRESHOLD = 0.5  # used where a file has no calls
_ROUNDING = 1e-6  # writing a probability may round it across the threshold by this much
_ONE_NETWORK = ("threshold", "checkpoint")  # a network has one value in all rows
_SEEN = ("trained_on", "warnings")  # the columns of such notes, of evaluations and of predictions
_SEEN_TEXT = "the network was trained on "  # how the notes of `pneumojax.run.film_list` begin


@dataclass(frozen=True)
class FilmPrediction:
    """One row of the file.

    seen: whether the row says that the network was trained on the film or on its patient.
    """

    probability: float
    call: int
    label: int | None
    patient: str | None
    seen: bool = False
    sha256: str = ""


@dataclass(frozen=True)
class PredictionsFile:
    """The predictions of one network.

    films: by the column `file`.
    without_probability: the films that could not be read.
    has_calls: whether the file has calls. Otherwise films are called at `THRESHOLD`.
    """

    path: Path
    films: Mapping[str, FilmPrediction]
    without_probability: tuple[str, ...]
    has_calls: bool
    synthetic: bool
    threshold: float | None = None
    class_names: ClassNames = CLASS_NAMES

    @property
    def mixes_thresholds(self) -> bool:
        """Whether the calls do not follow from one threshold, beyond errors of rounding."""
        positive = [film.probability for film in self.films.values() if film.call]
        negative = [film.probability for film in self.films.values() if not film.call]
        return bool(positive and negative) and max(negative) > min(positive) + _ROUNDING


def find_csv(source: Path, split: str | None = None) -> Path:
    """The CSV that a source names: a CSV, a run folder or the folder of one evaluation.

    A run folder has one evaluation for each split, of which `split` or else "val" is taken.
    """
    name = repr(str(source))
    if source.is_file():
        return source
    if not source.is_dir():
        raise UserError(f"compare: {name} does not exist")
    # evaluation/ comes first: a run folder may also hold a predictions.csv of unlabelled films.
    if (source / "evaluation").is_dir():
        wanted = source / "evaluation" / (split or "val") / "predictions.csv"
        if wanted.is_file():
            return wanted
        known = sorted(path.parent.name for path in source.glob("evaluation/*/predictions.csv"))
        advice = f"evaluate it with --workdir={source} first, or wait for its evaluation to end"
        if known:
            others = ", ".join(map(repr, known))
            advice = f"it has {others}; name another with --split, or its folder"
        raise UserError(
            f"compare: {name} has no finished evaluation of {split or 'val'!r}; {advice}"
        )
    if (source / "predictions.csv").is_file():
        return source / "predictions.csv"
    raise UserError(
        f"compare: {name} has neither evaluation/ nor predictions.csv; evaluate the run first, or "
        "name a CSV"
    )


def read_predictions(path: Path) -> PredictionsFile:
    """Reads a CSV that has at least the columns `file` and `probability`.

    `label`, `call`, `patient`, `threshold`, `sha256` and the notes of films that the network was
    trained on are read where they exist. A row without a probability is a film that could not be
    read.
    """
    name = repr(str(path))
    try:
        # utf-8-sig skips the byte order mark of spreadsheets; surrogateescape keeps the bytes of
        # file names that are not UTF-8.
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            return _parse(stream, path)
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}") from error
    except csv.Error as error:
        raise UserError(f"{name} is not a CSV of predictions: {error}") from error


def _parse(lines: Iterable[str], path: Path) -> PredictionsFile:
    name = repr(str(path))
    rows = csv.DictReader(lines, strict=True)
    columns = rows.fieldnames or []
    if missing := [c for c in ("file", "probability") if c not in columns]:
        raise UserError(
            f"{name} has no column {' and '.join(map(repr, missing))}; its first line "
            f"reads {','.join(columns)[:80]!r}"
        )
    films: dict[str, FilmPrediction] = {}
    without: dict[str, None] = {}  # an ordered set
    synthetic = False
    of_network: dict[str, str] = {}
    numbered = [(rows.line_num, row) for row in rows]
    class_names = find_class_names(path, [row for _, row in numbered])
    for line, row in numbered:
        where = f"{name}, line {line}"
        if None in row or None in row.values():
            raise UserError(f"{where}: the number of cells is not that of the first line")
        file = from_text(row["file"])
        if file in films or file in without:
            raise UserError(f"{where}: {file!r} is listed twice")
        synthetic |= SYNTHETIC_STAMP in row.get("disclaimer", "")
        _check_network(row, of_network, where)
        if row["probability"]:
            films[file] = _film(row, class_names, where)
        else:
            without[file] = None
    if not films:
        raise UserError(f"{name} holds no film with a probability")
    threshold = _threshold(of_network.get("threshold", ""), name)
    return PredictionsFile(
        path, films, tuple(without), "call" in columns, synthetic, threshold, class_names
    )


def _check_network(row: Mapping[str, str], before: dict[str, str], where: str) -> None:
    """Refuses a row whose checkpoint or threshold is not that of the rows before it."""
    for column in _ONE_NETWORK:
        value = row.get(column, "")
        if value != before.setdefault(column, value):
            raise UserError(
                f"{where}: {column} is {value!r} but {before[column]!r} in the rows before; put "
                "each network in a file of its own, or remove the column to treat all rows as one"
            )


def _threshold(text: str, name: str) -> float | None:
    if not text:
        return None
    try:
        return decimal(text)
    except ValueError as error:
        raise UserError(f"{name}: threshold {error}") from error


def _film(row: Mapping[str, str], class_names: ClassNames, where: str) -> FilmPrediction:
    try:
        probability = probability_of(row["probability"])
    except ValueError as error:
        raise UserError(
            f"{where}: {row['probability']!r} is not a probability between 0 and 1"
        ) from error
    label, called = (_class(row, column, class_names, where) for column in ("label", "call"))
    return FilmPrediction(
        probability=probability,
        call=int(call(probability, THRESHOLD)) if called is None else called,
        label=label,
        patient=from_text(row.get("patient", "")) or None,
        seen=any(row.get(column, "").startswith(_SEEN_TEXT) for column in _SEEN),
        sha256=row.get("sha256", "").lower(),
    )


def _class(row: Mapping[str, str], column: str, class_names: ClassNames, where: str) -> int | None:
    """Index of the class named in any case; None without the column, or for an empty label."""
    text = row.get(column, "").strip()
    if column not in row or not text and column == "label":
        return None
    known = [name.casefold() for name in class_names]
    if text.casefold() not in known:
        raise UserError(f"{where}: {column} {text!r} is neither {' nor '.join(class_names)}")
    return known.index(text.casefold())
