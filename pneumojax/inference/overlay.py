"""Pictures of films with their Grad-CAM maps, and contact sheets of many pictures."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.palette import INK, MUTED, PAPER

STRONGEST = 0.55  # opacity where the map is 1; the film stays visible
_MARGIN, _LINE = 10, 18


@dataclass(frozen=True)
class Tile:
    """One film on a contact sheet: its picture, and lines of text below it."""

    picture: Image.Image
    lines: tuple[str, ...]


def overlay(film: NDArray[np.uint8], evidence: NDArray[np.float32]) -> Image.Image:
    """A film (h, w) under its map (any size, values in [0, 1]), as an RGB picture (h, w).

    Colours and opacity rise with the evidence. The colours are matplotlib's "inferno", from black
    over red to yellow, whose lightness rises evenly.
    """
    import matplotlib  # slow to import, and most predictions draw nothing

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

    Pictures keep their aspect ratio. Lines that are too long lose their middle.
    """
    import matplotlib

    # Matplotlib's own font, because Pillow's has no characters beyond ASCII.
    file = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    font, small = ImageFont.truetype(file, 12), ImageFont.truetype(file, 11)
    lines = max(len(tile.lines) for tile in tiles)
    rows = -(-len(tiles) // columns)
    tile_height = side + lines * _LINE + _MARGIN
    width = min(columns, len(tiles)) * (side + _MARGIN) + _MARGIN
    page = Image.new("RGB", (width, rows * tile_height + 2 * _MARGIN + _LINE), PAPER)
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
            draw.text((x, y + side + 2 + i * _LINE), text, INK if i == 0 else MUTED, font)
    foot = f"{SYNTHETIC_STAMP}. {DISCLAIMER}" if synthetic else DISCLAIMER
    foot = _shortened(draw, foot, small, width - 2 * _MARGIN)
    draw.text((_MARGIN, page.height - _LINE - 4), foot, MUTED, small)
    stream = io.BytesIO()
    page.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _shortened(
    draw: ImageDraw.ImageDraw, line: str, font: ImageFont.FreeTypeFont, width: int
) -> str:
    # File names may hold bytes that are not text.
    line = line.encode("utf-8", "replace").decode()
    if draw.textlength(line, font) <= width:
        return line
    for kept in range(len(line) - 1, 0, -1):
        text = f"{line[: kept // 2]}…{line[len(line) - (kept - kept // 2) :]}"
        if draw.textlength(text, font) <= width:
            return text
    return ""
