"""Writes the synthetic films as a folder in the Kaggle layout."""

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from pneumojax.data.phantom import PATHOGENS, draw_film
from pneumojax.files import failing_clearly

VERSION = 1  # part of the folder's name; raise it when a drawing changes
SEED = 2018
TRAIN_FILMS = {"none": 224, "bacteria": 250, "virus": 166}
TEST_FILMS = {"none": 61, "bacteria": 59, "virus": 40}
FILMS_PER_PATIENT = (0.5, 0.3, 0.12, 0.08)  # fraction of the patients with 1, 2, 3 and 4 films
JPEG_QUALITY = 90


def film_name(patient: int, image: int, pathogen: str) -> str:
    """A file name like those of the published set, whose normal patients form two series."""
    if pathogen != "none":
        return f"person{patient}_{pathogen}_{image}.jpeg"
    series = "IM" if patient % 2 else "NORMAL2-IM"
    return f"{series}-{patient:04d}-{image:04d}.jpeg"


def _roster(rng: Generator, films: int, first: int) -> Iterator[tuple[int, int]]:
    """(patient, image) of each film; patients are numbered from `first`, images from 1."""
    for patient in itertools.count(first):
        for image in range(1, int(rng.choice(4, p=FILMS_PER_PATIENT)) + 2):
            if films == 0:
                return
            yield patient, image
            films -= 1


def write_films(
    root: Path,
    train: Mapping[str, int] = TRAIN_FILMS,
    test: Mapping[str, int] = TEST_FILMS,
) -> None:
    """Writes `<root>/{train,test}/{NORMAL,PNEUMONIA}/*.jpeg`, from numbers of films by pathogen.

    There is no `val` folder, since validation is held out of train. No patient is in both splits.
    """
    write_splits(
        root,
        {"train": train, "test": test},
        lambda split, patient, image, pathogen: draw_film(SEED, patient, image, pathogen),
    )


def write_splits(
    root: Path,
    splits: Mapping[str, Mapping[str, int]],
    draw: Callable[[str, int, int, str], NDArray[np.uint8]],
) -> None:
    """Writes a folder for each split, from numbers of films by split and by pathogen.

    `draw` returns the film of a split, patient, image and pathogen.
    """
    for kind, pathogen in enumerate(PATHOGENS):
        rng = np.random.default_rng([SEED, kind])
        first = 1
        for split, counts in splits.items():
            folder = root / split / ("NORMAL" if pathogen == "none" else "PNEUMONIA")
            folder.mkdir(parents=True, exist_ok=True)
            for patient, image in _roster(rng, counts.get(pathogen, 0), first):
                film = Image.fromarray(draw(split, patient, image, pathogen))
                film.save(folder / film_name(patient, image, pathogen), quality=JPEG_QUALITY)
                first = patient + 1


def ensure_films(cache_dir: Path) -> Path:
    """The folder of the synthetic films in `cache_dir`; they are drawn if it does not exist.

    Raises:
        UserError: `cache_dir` cannot be written.
    """
    return drawn_once(cache_dir / f"synthetic-v{VERSION}", write_films)


def drawn_once(films: Path, write: Callable[[Path], None]) -> Path:
    """Returns the folder `films`, which `write` fills if it does not exist.

    The films are drawn under a temporary name and renamed when complete, so a folder of the final
    name is whole after any crash and with any number of processes.

    Raises:
        UserError: the folder above `films` cannot be written.
    """
    cache_dir = films.parent
    with failing_clearly(cache_dir, "cache_dir", "make room or name another folder"):
        if films.is_dir():
            return films
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".drawing-") as drawing:
            unfinished = Path(drawing) / films.name
            write(unfinished)
            try:
                unfinished.rename(films)
            except OSError:  # another process was first and drew the same films
                if not films.is_dir():
                    raise
    return films
