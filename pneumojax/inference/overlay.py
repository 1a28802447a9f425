"""Pictures of films with the evidence on them, and sheets of many."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP

STRONGEST = 0.55  # opacity where the map is 1: the film stays readable under it
_MARGIN, _LINE = 10, 18
_INK, _MUTED, _PAPER = "#1f2933", "#5f6c7b", "#ffffff"


@dataclass(frozen=True)
class Tile:
    """One film on a sheet: its picture, and lines of text below it."""

    picture: Image.Image
    lines: tuple[str, ...]


def overlay(film: NDArray[np.uint8], evidence: NDArray[np.float32]) -> Image.Image:
    """The film (h, w) with the map (any size, in [0, 1]) stretched over it, as RGB of its size.

    The colours run from black over red to yellow (matplotlib's "inferno", of rising lightness);
    the weaker the evidence, the more transparent.
    """
    height, width = film.shape
    stretched = Image.fromarray(np.asarray(evidence, np.float32))
    shares = np.clip(stretched.resize((width, height), Image.Resampling.BILINEAR), 0, 1)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.7 * shares)[..., :3] * 255
    opacity = STRONGEST * shares[..., None]
    grey = np.repeat(film[..., None], 3, axis=2)
    return Image.fromarray(np.rint(grey * (1 - opacity) + colours * opacity).astype(np.uint8))


def strip(films: NDArray[np.uint8], evidence: NDArray[np.float32]) -> Image.Image:
    """Overlays of films (n, h, w) with their maps (n, h, w), side by side."""
    pictures = [np.asarray(overlay(*pair)) for pair in zip(films, evidence, strict=True)]
    gaps = [np.pad(each, ((0, 0), (0, 4), (0, 0)), constant_values=255) for each in pictures]
    return Image.fromarray(np.concatenate(gaps, axis=1)[:, :-4])


def sheet(tiles: Sequence[Tile], *, columns: int, side: int, synthetic: bool = False) -> bytes:
    """A PNG of tiles in rows, each `side` pixels wide, with the disclaimer below.

    Pictures keep their shape; lines that are too long lose their middle.
    """
    # Matplotlib's own font: Pillow's has no letters beyond ASCII.
    file = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    font, small = ImageFont.truetype(file, 12), ImageFont.truetype(file, 11)
    lines = max(len(tile.lines) for tile in tiles)
    rows = -(-len(tiles) // columns)
    tile_height = side + lines * _LINE + _MARGIN
    width = min(columns, len(tiles)) * (side + _MARGIN) + _MARGIN
    page = Image.new("RGB", (width, rows * tile_height + 2 * _MARGIN + _LINE), _PAPER)
    draw = ImageDraw.Draw(page)
    for place, tile in enumerate(tiles):
        x = _MARGIN + place % columns * (side + _MARGIN)
        y = _MARGIN + place // columns * tile_height
        picture = tile.picture.convert("RGB")
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        if max(picture.size) < side:
            scale = side / max(picture.size)
            size = (round(picture.width * scale), round(picture.height * scale))
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        page.paste(picture, (x + (side - picture.width) // 2, y + (side - picture.height) // 2))
        for i, line in enumerate(tile.lines):
            text = _shortened(draw, line, font, side)
            draw.text((x, y + side + 2 + i * _LINE), text, _INK if i == 0 else _MUTED, font)
    foot = f"{SYNTHETIC_STAMP}. {DISCLAIMER}" if synthetic else DISCLAIMER
    foot = _shortened(draw, foot, small, width - 2 * _MARGIN)
    draw.text((_MARGIN, page.height - _LINE - 4), foot, _MUTED, small)
    stream = io.BytesIO()
    page.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _shortened(
    draw: ImageDraw.ImageDraw, line: str, font: ImageFont.FreeTypeFont, width: int
) -> str:
    # Names of files may hold bytes that are no text.
    line = line.encode("utf-8", "replace").decode()
    if draw.textlength(line, font) <= width:
        return line
    for kept in range(len(line) - 1, 0, -1):
        text = f"{line[: kept // 2]}…{line[len(line) - (kept - kept // 2) :]}"
        if draw.textlength(text, font) <= width:
            return text
    return ""
