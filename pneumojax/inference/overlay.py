"""Pictures of films with their Grad-CAM maps, with captions and a scale of the map's colours."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.palette import INK, MUTED, PAPER

STRONGEST = 0.55  # opacity where the map is 1; the film stays visible
_MARGIN, _LINE = 10, 18
_LONGER_SIDE = 300  # pixels of a picture that has the shape of its film
_SCALE = (96, 10)  # width and height of the scale of colours on a sheet


@dataclass(frozen=True)
class Tile:
    """A picture with the lines of text below it."""

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


def colour_scale(width: int, height: int) -> Image.Image:
    """The colours of an overlay on grey, from no evidence (left) to the strongest (right)."""
    shares = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    return overlay(np.full((height, width), 128, np.uint8), shares)


def film_overlay(
    film: NDArray[np.uint8], evidence: NDArray[np.float32], size: Sequence[int]
) -> Image.Image:
    """An overlay of the square that a network sees, in the shape (width, height) of the file."""
    scale = _LONGER_SIDE / max(size)
    shape = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    return overlay(film, evidence).resize(shape, Image.Resampling.BICUBIC)


def strip(films: NDArray[np.uint8], evidence: NDArray[np.float32]) -> Image.Image:
    """Overlays of films (n, h, w) with their maps (n, h, w), side by side."""
    pictures = [np.asarray(overlay(*pair)) for pair in zip(films, evidence, strict=True)]
    gaps = [np.pad(each, ((0, 0), (0, 4), (0, 0)), constant_values=255) for each in pictures]
    return Image.fromarray(np.concatenate(gaps, axis=1)[:, :-4])


def captioned(tile: Tile, *, synthetic: bool = False) -> bytes:
    """A PNG of one picture with its lines, the scale of colours and the disclaimer below."""
    side = max(*tile.picture.size, _LONGER_SIDE)
    # A prediction may draw thousands, and the smallest file would take several times as long.
    return _png(_sheet([tile], 1, side, synthetic), compress_level=1)


def sheet(tiles: Sequence[Tile], *, columns: int, side: int, synthetic: bool = False) -> bytes:
    """A PNG of tiles in rows, with the scale of colours and the disclaimer below.

    A picture fills a square of `side` pixels without losing its shape. Lines that are too long lose
    their middle.
    """
    return _png(_sheet(tiles, columns, side, synthetic), optimize=True)


def _png(picture: Image.Image, **how: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", **how)
    return stream.getvalue()


def _sheet(tiles: Sequence[Tile], columns: int, side: int, synthetic: bool) -> Image.Image:
    import matplotlib

    # Matplotlib's own font, because Pillow's has no characters beyond ASCII.
    file = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"
    font, small = ImageFont.truetype(file, 12), ImageFont.truetype(file, 11)
    pictures = [_fitted(tile.picture, side) for tile in tiles]
    highest = max(picture.height for picture in pictures)
    tile_height = highest + max(len(tile.lines) for tile in tiles) * _LINE + _MARGIN
    rows, width = -(-len(tiles) // columns), min(columns, len(tiles)) * (side + _MARGIN) + _MARGIN
    foot = [SYNTHETIC_STAMP, DISCLAIMER] if synthetic else [DISCLAIMER]
    height = rows * tile_height + 2 * _MARGIN + (1 + len(foot)) * _LINE
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    for place, (tile, picture) in enumerate(zip(tiles, pictures, strict=True)):
        x = _MARGIN + place % columns * (side + _MARGIN)
        y = _MARGIN + place // columns * tile_height
        at = x + (side - picture.width) // 2, y + (highest - picture.height) // 2
        page.paste(picture, at)
        for i, line in enumerate(tile.lines):
            text = _shortened(draw, line, font, side)
            draw.text((x, y + highest + 2 + i * _LINE), text, INK if i == 0 else MUTED, font)
    _draw_scale(page, draw, small, height - (1 + len(foot)) * _LINE - 4)
    for i, line in enumerate(reversed(foot), start=1):
        text = _shortened(draw, line, small, width - 2 * _MARGIN)
        draw.text((_MARGIN, height - i * _LINE - 4), text, MUTED, small)
    return page


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """The picture with its longer side as long as `side`."""
    scale = side / max(picture.size)
    if scale == 1:
        return picture.convert("RGB")
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    smooth = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return picture.convert("RGB").resize(size, smooth)


def _draw_scale(
    page: Image.Image, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, y: int
) -> None:
    """Draws the scale of colours with its ends named, from `y` down."""
    x = _MARGIN
    for part in ("evidence: none", colour_scale(*_SCALE), "strongest"):
        if isinstance(part, str):
            draw.text((x, y), part, MUTED, font)
            x += round(draw.textlength(part, font)) + 6
        else:
            page.paste(part, (x, y + 3))
            x += part.width + 6


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
