"""Ways to make films worse on purpose, as pure functions of uint8 (n, side, side) and a level.

Films are changed at the size that the network sees. Real flaws arise before a film is resized, so
they are finer than these.
"""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]


def brightness(images: Images, level: float) -> Images:
    """Adds the share `level` of the full range (255) to every pixel, and clips at both ends."""
    return _grey(images + np.float32(255 * level))


def contrast(images: Images, level: float) -> Images:
    """Multiplies each pixel's difference from its film's mean by `level`; 1 changes nothing."""
    means = images.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    return _grey(means + np.float32(level) * (images - means))


def blur(images: Images, level: float) -> Images:
    """Blurs by a Gaussian with a standard deviation of `level` pixels; edge pixels are repeated."""
    sigma = (0, level, level)
    values = images.astype(np.float32)
    return _grey(scipy.ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=3.0))


def noise(images: Images, level: float) -> Images:
    """Adds the same Gaussian noise of standard deviation `level` x 255 to every film."""
    grain = np.random.default_rng([0]).normal(0, 255 * level, images.shape[1:])
    return _grey(images.astype(np.float32) + grain.astype(np.float32))


def jpeg(images: Images, level: float) -> Images:
    """Saves films as JPEG of quality `level` (1 to 95) and reads them again."""

    def saved(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, format="JPEG", quality=int(level))
        return Image.open(stream)

    return _each(images, saved)


def rotation(images: Images, level: float) -> Images:
    """Rotates by `level` degrees counter-clockwise about the centre; new corners are black."""
    return _each(images, lambda image: image.rotate(level, resample=Image.Resampling.BILINEAR))


def crop(images: Images, level: float) -> Images:
    """Cuts the share `level` of the side, in whole pixels, off each edge and enlarges the rest."""
    side = images.shape[1]
    inside = _inside(side, level)
    box = (inside.start, inside.start, inside.stop, inside.stop)
    return _each(
        images, lambda image: image.crop(box).resize((side, side), Image.Resampling.BILINEAR)
    )


def blanked_border(images: Images, level: float) -> Images:
    """Blackens a border of the share `level` of the side, in whole pixels, at each edge."""
    blanked = np.zeros_like(images)
    inside = _inside(images.shape[1], level)
    blanked[:, inside, inside] = images[:, inside, inside]
    return blanked


class Perturbation(NamedTuple):
    """One way to make films worse.

    unchanged: the level at which films stay as they are.
    levels: the levels to try; each costs a pass of the sample through the network.
    """

    title: str
    apply: Callable[[Images, float], Images]
    unchanged: float
    levels: tuple[float, ...]


PERTURBATIONS = {
    "brightness": Perturbation("Brightness, share added", brightness, 0.0, (-0.2, -0.1, 0.1, 0.2)),
    "contrast": Perturbation("Contrast, factor", contrast, 1.0, (0.5, 0.75, 1.5)),
    "blur": Perturbation("Blur, sigma in pixels", blur, 0.0, (0.5, 1.0, 2.0)),
    "noise": Perturbation("Noise, share of the grey range", noise, 0.0, (0.02, 0.05, 0.1)),
    "jpeg": Perturbation("JPEG quality", jpeg, 100.0, (50.0, 20.0, 10.0)),
    "rotation": Perturbation("Rotation, degrees", rotation, 0.0, (-10.0, 10.0)),
    "crop": Perturbation("Crop, share of side", crop, 0.0, (0.05, 0.1)),
    "blanked_border": Perturbation("Blanked border, share", blanked_border, 0.0, (0.05, 0.1)),
}


def _inside(side: int, level: float) -> slice:
    edge = round(level * side)
    return slice(edge, side - edge)


def _grey(values: NDArray[np.float32]) -> Images:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _each(images: Images, change: Callable[[Image.Image], Image.Image]) -> Images:
    changed = np.empty_like(images)
    for i, image in enumerate(images):
        changed[i] = np.asarray(change(Image.fromarray(image)))
    return changed
