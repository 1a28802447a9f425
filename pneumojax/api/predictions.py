"""The answers to films, as a sequence that shows itself as a table."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.files import printable, replacing
from pneumojax.inference.overlay import overlay
from pneumojax.predict.output import csv_of
from pneumojax.predict.overlays import ON_SHEET, contact_sheet, tile_of
from pneumojax.predict.prediction import Prediction, RunStamp
from pneumojax.terminal import plain_table

_MOST_SHOWN = 20  # rows of a table
_LONGEST_NAME = 48  # characters of a file's name in the terminal's table
_HEADER = ("film", "probability", "call", "warnings")


@dataclass(frozen=True, repr=False)
class Predictions(Sequence[Prediction]):
    """The answers to films, in the films' order. A film that cannot be read has its error.

    rows: the answers.
    stamp: what all answers have in common.
    class_name: the class that `probability` is of.
    notes: lines that concern all films, such as that the network was trained on some of them.
    """

    rows: tuple[Prediction, ...]
    stamp: RunStamp
    class_name: str
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> "Predictions": ...
    def __getitem__(self, index: int | slice) -> "Prediction | Predictions":
        if isinstance(index, slice):
            return Predictions(self.rows[index], self.stamp, self.class_name, self.notes)
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def probability(self) -> NDArray[np.float64]:
        """The calibrated probability of `class_name` (n,); nan for a film that cannot be read."""
        return np.array([np.nan if p.probability is None else p.probability for p in self.rows])

    @property
    def call(self) -> list[str]:
        """The name of each film's class; "" for a film that cannot be read."""
        return [row.call for row in self.rows]

    @property
    def threshold(self) -> float:
        """The probability from which a film is called `class_name`."""
        return self.stamp.threshold

    @property
    def warnings(self) -> list[tuple[str, ...]]:
        """For each film, the reasons why its probability may mean nothing."""
        return [row.warnings for row in self.rows]

    @property
    def errors(self) -> list[tuple[str, ...]]:
        """For each film, the reason why it cannot be read; () for a film that was read."""
        return [row.errors for row in self.rows]

    def to_dicts(self) -> list[dict[str, Any]]:
        """A dict of every film's values by column, such as for `pandas.DataFrame`."""
        stamp = asdict(self.stamp)
        rows = [asdict(row) | stamp | {"errors": row.errors} for row in self.rows]
        return [{key: value for key, value in row.items() if key != "note"} for row in rows]

    def to_csv(self, path: str | Path) -> None:
        """Writes the CSV that the command `predict` writes, in place of a file of this name.

        Raises UserError if it cannot be written.
        """
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(csv_of(self.rows, self.stamp))

    def __repr__(self) -> str:
        shown = [[printable(cell) for cell in _cells(row)] for row in self.rows[:_MOST_SHOWN]]
        table = plain_table(_HEADER, [[_short(row[0]), *row[1:]] for row in shown])
        return "\n".join([self._title, table, *self._foot])

    def _repr_html_(self) -> str:
        """The table that a notebook shows."""
        rows = [_html_row(_cells(row), "td") for row in self.rows[:_MOST_SHOWN]]
        table = "".join([_html_row(_HEADER, "th"), *rows])
        foot = "<br>".join(map(html.escape, self._foot))
        return f"<p>{html.escape(self._title)}</p><table>{table}</table><p>{foot}</p>"

    @property
    def _title(self) -> str:
        films = f"{len(self):,} film{'' if len(self) == 1 else 's'}"
        return (
            f"{films}: probability of {self.class_name}, called from {self.threshold:.3g} "
            f"(network trained on {printable(self.stamp.trained_on)})"
        )

    @property
    def _foot(self) -> list[str]:
        left = len(self) - _MOST_SHOWN
        more = [f"... and {left:,} more"] if left > 0 else []
        return [*more, *self.notes, self.stamp.disclaimer]


@dataclass(frozen=True)
class Explanation:
    """One film's answer and its Grad-CAM map.

    evidence: float32 (h, w) in [0, 1] at the network's size, 1 where the evidence for class 1 is
        strongest on this film; None if the film cannot be read.
    film: uint8 (h, w), the upright film, no side longer than 640 pixels; None as above.
    """

    prediction: Prediction
    evidence: NDArray[np.float32] | None
    film: NDArray[np.uint8] | None

    @cached_property
    def overlay(self) -> Image.Image | None:
        """The film under its map in colour, RGB; None if the film cannot be read."""
        if self.film is None or self.evidence is None:
            return None
        return overlay(self.film, self.evidence)


@dataclass(frozen=True, repr=False)
class Explanations(Sequence[Explanation]):
    """The answers to films with their maps, in the films' order."""

    rows: tuple[Explanation, ...]
    predictions: Predictions

    @overload
    def __getitem__(self, index: int) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> "Explanations": ...
    def __getitem__(self, index: int | slice) -> "Explanation | Explanations":
        if isinstance(index, slice):
            return Explanations(self.rows[index], self.predictions[index])
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Grad-CAM maps of {self.predictions!r}"

    def _repr_png_(self) -> bytes | None:
        """The contact sheet of the first films that a notebook shows."""
        drawn = [(row.overlay, row.prediction) for row in self.rows[:ON_SHEET]]
        tiles = [tile_of(picture, prediction) for picture, prediction in drawn if picture]
        synthetic = self.predictions.stamp.disclaimer != DISCLAIMER
        return contact_sheet(tiles, synthetic=synthetic) if tiles else None


def _cells(row: Prediction) -> tuple[str, str, str, str]:
    """A film's cells in a table."""
    if row.probability is None:
        return row.file, "", "unreadable", row.note
    return row.file, f"{row.probability:.4f}", row.call, "; ".join(row.warnings)


def _short(name: str) -> str:
    """The end of a long file name, which tells films apart."""
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"


def _html_row(cells: Sequence[str], tag: str) -> str:
    inner = "".join(f"<{tag}>{html.escape(printable(cell))}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"
