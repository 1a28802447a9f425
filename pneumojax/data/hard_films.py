"""Synthetic films that a short training does not solve, for tests of learning and of tuning.

Opacities are faint, and the training films offer a shortcut. Most of the ill children were filmed
in bed, with a mobile machine whose films are brighter, noisier and have a lead marker in a corner.
In the validation and test films both classes were filmed with both machines equally often, so a
network that learned the machine is wrong there.
"""

from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pneumojax.data import phantom_films
from pneumojax.data.phantom import PATHOGENS, draw_film

VERSION = 1  # part of the folder's name; raise it when a drawing changes
SEED = 2019
SPLITS = {
    "train": phantom_films.TRAIN_FILMS,
    "val": {"none": 100, "bacteria": 80, "virus": 60},
    "test": {"none": 100, "bacteria": 80, "virus": 60},
}
DENSITY = 0.5  # of the fluid, as a share of its density in the ordinary films
# The share of mobile films among normal and ill children of the training films.
MOBILE_NORMAL, MOBILE_ILL = 0.1, 0.9


def draw_hard_film(split: str, patient: int, image: int, pathogen: str) -> NDArray[np.uint8]:
    """Draws one film of a split, uint8 (height, width)."""
    film = draw_film(SEED, patient, image, pathogen, DENSITY)
    rng = np.random.default_rng([SEED, PATHOGENS.index(pathogen), patient, image, 1])
    share = MOBILE_NORMAL if pathogen == "none" else MOBILE_ILL
    is_mobile = rng.random() < (share if split == "train" else 0.5)
    return _mobile(film, rng) if is_mobile else film


def _mobile(film: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """The film as the mobile machine takes it."""
    changed = film + rng.uniform(8, 16) + rng.uniform(4, 7) * rng.standard_normal(film.shape)
    height, width = film.shape
    top, left = int(rng.uniform(0.03, 0.06) * height), int(rng.uniform(0.03, 0.08) * width)
    changed[top : top + height // 16, left : left + width // 10] = 235
    return np.rint(np.clip(changed, 0, 255)).astype(np.uint8)


def ensure_hard_films(cache_dir: Path) -> Path:
    """The folder of the hard films in `cache_dir`; they are drawn if it does not exist.

    Raises:
        UserError: `cache_dir` cannot be written.
    """
    return phantom_films.drawn_once(
        cache_dir / f"synthetic_hard-v{VERSION}",
        lambda root: phantom_films.write_splits(root, SPLITS, draw_hard_film),
    )
