"""A picture of each film with the evidence on it, and one sheet of the first of them."""

import hashlib
import itertools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from pneumojax.errors import UserError
from pneumojax.files import failing_clearly, printable, replacing
from pneumojax.inference.overlay import Tile, overlay, sheet

ON_SHEET = 40
_COLUMNS, _TILE = 5, 240
_MARK = ".pneumojax-overlays"  # a file that only folders of overlays have
_LONGEST_STEM = 60  # characters, of up to four bytes each: file names end at 255 bytes


def check_folder(folder: Path) -> None:
    """Checks, without writing, that a folder may take overlays; `folder` is resolved.

    Raises:
        UserError: it holds something and was not made for overlays, or is no folder.
    """
    try:
        if not folder.exists() or (folder / _MARK).is_file() or not any(folder.iterdir()):
            return
    except OSError as error:
        raise UserError(f"--overlays: cannot read {str(folder)!r}: {error.strerror}") from error
    raise UserError(
        f"--overlays: {str(folder)!r} holds files that are no overlays; name a new or empty folder"
    )


class Overlays:
    """Writes PNGs into a folder, which is made.

    Args:
        folder: resolved; new, empty, or of earlier overlays.
        checkpoint: of the network, so that another's pictures of the same films stay.
        synthetic: stamps the sheet as one of a network for drawn films.

    Raises:
        UserError: as `check_folder`, or it cannot be written.
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
            raise UserError(f"--overlays: cannot make {str(folder)!r}: {error.strerror}") from error

    def add(self, film: np.ndarray, evidence: np.ndarray, row: dict[str, Any]) -> None:
        """Draws one film, uint8 (h, w), with its map, and remembers it for the sheet.

        Raises:
            UserError: the folder cannot be written.
        """
        picture = overlay(film, evidence)
        name = name_of(row["path"], row["sha256"], self._checkpoint)
        with replacing(self._folder / name) as temporary:
            picture.save(temporary, "PNG", compress_level=1)
        self._drawn += 1
        if len(self._tiles) < ON_SHEET:
            title = printable(Path(row["file"]).name)
            lines = (title, f"{row['probability']:.4f}  {row['call']}", *row["warnings"][:1])
            picture.thumbnail((_TILE, _TILE))
            self._tiles.append(Tile(picture, lines))

    def finish(self) -> str:
        """Writes the sheet, and says how many pictures there are and where.

        Raises:
            UserError: the folder cannot be written.
        """
        said = f"{self._drawn:,} overlays in {printable(str(self._folder))}"
        if not self._tiles:
            return said
        drawn = sheet(self._tiles, columns=_COLUMNS, side=_TILE, synthetic=self._synthetic)
        path = self._new_sheet()
        with replacing(path) as temporary:
            temporary.write_bytes(drawn)
        return f"{said}, the first {len(self._tiles)} on {path.name}"

    def _new_sheet(self) -> Path:
        """The first `contact_sheet*.png` that this process could make, empty."""
        for number in itertools.count(1):
            suffix = "" if number == 1 else f"-{number}"
            path = self._folder / f"contact_sheet{suffix}.png"
            with failing_clearly(path):
                try:
                    path.touch(exist_ok=False)
                except FileExistsError:
                    continue
            return path
        raise AssertionError("itertools.count has no end")


def name_of(path: str, sha256: str, checkpoint: str) -> str:
    """The overlay's file name: the film's, and 16 hex digits of its path, contents and network.

    Names repeat in archives, and another film or network must never replace a picture. What is no
    letter, digit, dot or dash in the film's name is an underscore.
    """
    digest = hashlib.sha256()
    for part in (path, sha256, checkpoint):
        digest.update(os.fsencode(part) + b"\0")
    stem = re.sub(r"[^\w.-]", "_", Path(path).stem[:_LONGEST_STEM])
    return f"{stem.encode('utf-8', 'replace').decode()}-{digest.hexdigest()[:16]}.png"
