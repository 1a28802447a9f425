"""Pictures of films with their Grad-CAM maps, and a contact sheet of the first ones."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pneumojax.errors import UserError
from pneumojax.files import printable, replacing
from pneumojax.inference.overlay import Tile, captioned, overlay, sheet
from pneumojax.predict.answering import AnsweredFilm
from pneumojax.predict.destination import make_new
from pneumojax.predict.prediction import Prediction

ON_SHEET = 40
_COLUMNS, _TILE = 5, 240
_MARK = ".pneumojax-overlays"  # an empty file that marks a folder of overlays
_LONGEST_STEM = 60  # characters, of up to four bytes each: file names end at 255 bytes


def check_folder(folder: Path) -> None:
    """Refuses a resolved folder that holds other files than overlays, without writing to it."""
    try:
        if not folder.exists() or (folder / _MARK).is_file() or not any(folder.iterdir()):
            return
    except OSError as error:
        line = f"cannot read {str(folder)!r}: {error.strerror}"
        raise UserError(line, flag="overlays") from error
    raise UserError(
        f"{str(folder)!r} holds other files than overlays; name a new or empty folder",
        flag="overlays",
    )


class Overlays:
    """Writes PNGs with a caption and a scale of colours into a folder, which is created.

    Args:
        folder: resolved; new, empty, or with earlier overlays.
        checkpoint: identity of the networks. Pictures by other networks are kept.
        synthetic: stamps the pictures, because the network was trained on synthetic films.
    """

    def __init__(self, folder: Path, checkpoint: str, synthetic: bool):
        self._folder = folder
        self._checkpoint = checkpoint
        self._synthetic = synthetic
        self._tiles: list[Tile] = []
        self._drawn = 0
        check_folder(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / _MARK).touch()
        except OSError as error:
            line = f"cannot make {str(folder)!r}: {error.strerror}"
            raise UserError(line, flag="overlays") from error

    def add(self, films: Sequence[AnsweredFilm]) -> None:
        """Draws the readable films of a batch, and keeps the first ones for the sheet."""
        for each in films:
            if each.film.preview is not None and each.evidence is not None:
                self._draw(each.film.preview, each.prediction, each.evidence)

    def _draw(self, film: NDArray[np.uint8], prediction: Prediction, evidence: NDArray) -> None:
        picture = overlay(film, evidence)
        name = name_of(prediction.path, prediction.sha256, self._checkpoint)
        tile = tile_of(picture, prediction)
        with replacing(self._folder / name) as temporary:
            temporary.write_bytes(captioned(Tile(picture, tile.lines), synthetic=self._synthetic))
        self._drawn += 1
        if len(self._tiles) < ON_SHEET:
            self._tiles.append(tile)

    def finish(self) -> str:
        """Writes the sheet; returns a line that says how many pictures there are and where."""
        line = f"{self._drawn:,} overlays in {printable(str(self._folder))}"
        if not self._tiles:
            return line
        drawn = contact_sheet(self._tiles, synthetic=self._synthetic)
        path = make_new(self._folder / "contact_sheet.png")
        with replacing(path) as temporary:
            temporary.write_bytes(drawn)
        return f"{line}, the first {len(self._tiles)} on {path.name}"


def tile_of(picture: Image.Image, prediction: Prediction) -> Tile:
    """A film's picture on the sheet, with its name, its answer and its first warning below."""
    small = picture.copy()
    small.thumbnail((_TILE, _TILE))
    title = printable(Path(prediction.file).name)
    answer = f"{prediction.probability:.4f}  {prediction.call}"
    return Tile(small, (title, answer, *prediction.warnings[:1]))


def contact_sheet(tiles: Sequence[Tile], *, synthetic: bool) -> bytes:
    """A PNG of the tiles in rows."""
    return sheet(tiles, columns=_COLUMNS, side=_TILE, synthetic=synthetic)


def name_of(path: str, sha256: str, checkpoint: str) -> str:
    """The overlay's file name: the film's name and 16 hex digits.

    Names repeat in archives, and another film or network must never replace a picture, so the
    digits are a digest of path, contents and network. Characters of the film's name other than
    letters, digits, dots and dashes become underscores.
    """
    digest = hashlib.sha256()
    for part in (path, sha256, checkpoint):
        digest.update(os.fsencode(part) + b"\0")
    stem = re.sub(r"[^\w.-]", "_", Path(path).stem[:_LONGEST_STEM])
    return f"{stem.encode('utf-8', 'replace').decode()}-{digest.hexdigest()[:16]}.png"
