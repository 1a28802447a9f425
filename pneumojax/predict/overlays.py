"""A picture of each film with the evidence on it, and one sheet of the first of them."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from pneumojax.errors import UserError
from pneumojax.explain.overlay import Tile, overlay, sheet
from pneumojax.files import replacing
from pneumojax.predict.terminal import printable

ON_SHEET = 40
_COLUMNS, _TILE = 5, 240


class Overlays:
    """Writes PNGs into a folder, which is made.

    Raises:
        UserError: it cannot be written.
    """

    def __init__(self, folder: Path, synthetic: bool):
        self._folder = folder
        self._synthetic = synthetic
        self._tiles: list[Tile] = []
        self._drawn = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--overlays: cannot make {str(folder)!r}: {error.strerror}") from error

    def add(self, file: Path, film: np.ndarray, evidence: np.ndarray, row: dict[str, Any]) -> None:
        """Draws one film, uint8 (h, w), with its map, and remembers it for the sheet."""
        picture = overlay(film, evidence)
        with replacing(self._folder / name_of(file)) as temporary:
            picture.save(temporary, "PNG", compress_level=1)
        self._drawn += 1
        if len(self._tiles) < ON_SHEET:
            lines = (file.name, f"{row['probability']:.4f}  {row['call']}", *row["warnings"][:1])
            picture.thumbnail((_TILE, _TILE))
            self._tiles.append(Tile(picture, lines))

    def finish(self) -> str:
        """Writes the sheet, and says what there is."""
        said = f"{self._drawn:,} overlays in {printable(str(self._folder))}"
        if not self._tiles:
            return said
        names = (f"contact_sheet{suffix}.png" for suffix in ("", *(f"-{i}" for i in range(2, 999))))
        path = next(self._folder / name for name in names if not (self._folder / name).exists())
        with replacing(path) as temporary:
            temporary.write_bytes(
                sheet(self._tiles, columns=_COLUMNS, side=_TILE, synthetic=self._synthetic)
            )
        return f"{said}, the first {len(self._tiles)} on {path.name}"


def name_of(file: Path) -> str:
    """Of the overlay: the film's, and 8 hex digits of its whole path, since names repeat."""
    digest = hashlib.sha256(os.fsencode(str(file))).hexdigest()[:8]
    stem = file.stem.encode("utf-8", "replace").decode()[:100]
    return f"{stem}-{digest}.png"
