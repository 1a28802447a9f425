"""Synthetic chest films in the Kaggle layout, for tests, docs and runs without any data.

A film is a sum of soft-edged shapes in units of its half-width and half-height: x runs from -1
(image left, the patient's right) to 1, y from -1 (neck) to 1 (abdomen). Bright is dense. Disease
is air replaced by fluid: one dense lobe (bacteria) or a patchy, streaky haze on both sides (virus).
"""

import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.random import Generator
from PIL import Image

from pneumojax.errors import UserError

VERSION = 1  # part of the folder's name: raise it when a drawing changes
SEED = 2018
PATHOGENS = ("none", "bacteria", "virus")
TRAIN_FILMS = {"none": 224, "bacteria": 250, "virus": 166}
TEST_FILMS = {"none": 61, "bacteria": 59, "virus": 40}
FILMS_PER_PATIENT = (0.5, 0.3, 0.12, 0.08)  # share of the patients with 1, 2, 3 and 4 films
JPEG_QUALITY = 90

Body = SimpleNamespace  # one patient's draw from each of these ranges
ANATOMY = {
    "girth": (0.88, 0.98),  # half-width of the trunk
    "apex": (-0.76, -0.68),  # y of the top of the lungs
    "dome": (0.42, 0.54),  # y of the diaphragm
    "lung": (0.29, 0.33),  # half-width of a lung
    "heart": (0.27, 0.34),  # radius
    "heart_x": (0.10, 0.17),
    "rib_gap": (0.165, 0.195),  # from one rib to the next
    "rib_phase": (0, 1),
    "rib_slope": (0.30, 0.50),
    "clavicle": (-0.62, -0.54),  # y at the breastbone
    "stomach": (0.05, 0.13),  # radius of the gas bubble under the patient's left dome
    "fan_right": (0, 0.4),  # turn of the fan of vessels in the patient's right lung, radians
    "fan_left": (0, 0.4),
}


def draw_film(seed: int, patient: int, image: int, pathogen: str) -> np.ndarray:
    """One frontal film, uint8 (height, width); images of a patient are counted from 1.

    A patient is (pathogen, number): the films of one share the body and differ in size, pose,
    disease, exposure and grain, none of which but the disease depends on the pathogen.

    Raises ValueError if `pathogen` is not one of PATHOGENS.
    """
    kind = PATHOGENS.index(pathogen)
    rng = np.random.default_rng([seed, kind, patient])
    body = Body(**{name: rng.uniform(*limits) for name, limits in ANATOMY.items()})
    rng = np.random.default_rng([seed, kind, patient, image])
    x, y = _pose(rng, height=int(rng.integers(184, 233)), width=int(rng.integers(216, 273)))
    # A strip of rows at a time: arrays that stay in the cache save a third of the time.
    strips = zip(np.array_split(x, 4), np.array_split(y, 4), strict=True)
    layers = [(_solid(body, *xy), _air(body, *xy), _vessels(body, *xy)) for xy in strips]
    solid, air, vessels = (np.concatenate(layer) for layer in zip(*layers, strict=True))
    clear = 1 - _fluid(rng, pathogen, x, y, vessels)
    return _expose(rng, solid - air * (0.56 * clear - 0.17 * vessels))


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """A soft-edged shape: 1 where the distance to its edge is positive, 0 where negative."""
    t = np.clip(distance / (6 * softness) + 0.5, 0, 1)  # 6: as steep as a sigmoid would be
    return t * t * (3 - 2 * t)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """np.hypot at a fifth of its time."""
    return np.sqrt(x * x + y * y)


def _ellipse(x: np.ndarray, y: np.ndarray, rx: float, ry: float, softness: float) -> np.ndarray:
    """A soft-edged ellipse about the origin."""
    return _inside(1 - _length(x / rx, y / ry), softness)


def _clouds(rng: Generator, shape: tuple[int, ...], cells: int) -> np.ndarray:
    """Smooth noise, about -1 to 1, with `cells` bumps across the film."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    height, width = shape
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _pose(rng: Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Body coordinates of every pixel of a child who never lies quite straight."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    zoom, tilt = np.float32(rng.normal(1, 0.025)), np.float32(rng.normal(0, 0.025))
    right, down = rng.normal(0, 0.025, 2).astype(np.float32)
    return zoom * (x + tilt * y) - right, zoom * (y - tilt * x) - down


def _heart(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The heart's shadow, leaning to the image right."""
    x, y = x - body.heart_x, y - (body.dome - 0.20)
    chambers = _ellipse(x - 0.15 * y, y - 0.4 * x, 1.1 * body.heart, 0.95 * body.heart, 0.05)
    vessels = _ellipse(x + 0.09, y + 0.38, 0.17, 0.36, 0.10)  # aorta and pulmonary trunk
    return np.maximum(chambers, vessels)


def _dome(body: Body, x: np.ndarray) -> np.ndarray:
    """y of the diaphragm: two domes, the patient's right one raised by the liver."""
    return body.dome - 0.04 * (x < 0) + 1.5 * (np.abs(x) - 0.36) ** 2


def _air(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where there is air: two lungs, less what heart, mediastinum and diaphragm take of them."""
    depth = np.clip((y - body.apex) / (body.dome + 0.2 - body.apex), 0, 1)  # 0 apex, 1 base
    half = body.lung * np.sqrt(1 - (1 - depth) ** 2)
    lungs = _inside(half - np.abs(np.abs(x) - 0.31 - 0.15 * depth), 0.014)
    lungs *= _inside(y - body.apex, 0.02) * _inside(_dome(body, x) - y, 0.012)
    hila = _ellipse(np.abs(x) - 0.10, y + 0.08, 0.12, 0.17, 0.15)
    return lungs * (1 - 0.95 * _heart(body, x, y)) * (1 - 0.6 * hila)


def _solid(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """All that is there but lungs: soft tissue and bones."""
    return _trunk(body, x, y) + _bones(body, x, y)


def _trunk(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Soft tissue: neck, shoulders, chest wall, mediastinum, heart, abdomen, windpipe."""
    shoulders = _inside(y + 0.80, 0.045)
    half = 0.27 + (body.girth - 0.10) * shoulders - 0.17 * _inside(y + 0.25, 0.10)
    tissue = 0.62 * _inside(half - np.abs(x), 0.02)
    tissue *= 1 - 0.22 * np.clip(x * x, 0, 1)
    tissue += 0.16 * _inside(0.15 + 0.05 * y - np.abs(x), 0.03)
    tissue += 0.12 * _heart(body, x, y)
    tissue += 0.14 * _inside(y - _dome(body, x), 0.03) * _inside(half - 0.1 - np.abs(x), 0.05)
    tissue -= 0.22 * _ellipse(x - 0.40, y - body.dome - 0.14, 1.5 * body.stomach, body.stomach, 0.1)
    return tissue - 0.16 * _inside(0.045 - np.abs(x), 0.012) * _inside(-0.22 - y, 0.05)


def _bones(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spine, ribs (behind: falling outwards; in front: fainter, falling inwards), clavicles."""
    side = np.abs(x)
    cage = _inside(0.60 + 0.17 * np.clip(y + 0.5, -0.3, 0.8) - side, 0.02)
    cage *= _inside(y + 0.72, 0.03) * _inside(body.dome + 0.22 - y, 0.06)
    gap, phase = body.rib_gap, body.rib_phase
    behind = (y + 0.10 * side - body.rib_slope * side * np.sqrt(side)) / gap + phase
    front = (y + 0.55 * side - 0.40 * side * side * side) / (1.15 * gap) + 1.7 * phase
    ribs = 0.13 * _inside(np.cos(2 * np.pi * behind) - 0.35, 0.12)
    ribs += 0.06 * _inside(np.cos(2 * np.pi * front) - 0.4, 0.15) * _inside(side - 0.42, 0.03)
    discs = 1 - 0.35 * _inside(np.cos(2 * np.pi * y / (0.8 * gap)) - 0.6, 0.1)
    spine = 0.13 * discs * _inside(0.085 - side, 0.015)
    beam = y - body.clavicle + 0.16 * side - 0.08 * np.sin(5 * side)
    clavicles = 0.17 * _inside(0.030 - np.abs(beam), 0.009)
    clavicles *= _inside(side - 0.09, 0.015) * _inside(0.80 - side, 0.02)
    return cage * ribs + spine + clavicles


def _vessels(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Vessels that fan out from the hila and fade towards the chest wall, 0 to about 1."""
    across, down = np.abs(x) - 0.14, y + 0.08
    reach = _length(across, down)
    angle = np.arctan2(down, across) - 0.7 * np.sin(3 * reach)
    turn = np.where(x < 0, body.fan_right, body.fan_left).astype(np.float32)
    angle += turn + 0.1 * np.sin(5 * angle)
    off_axis = reach * (angle - 0.4 * np.rint(angle / 0.4))  # from the nearest of the fan's rays
    return np.exp(-reach / 0.28 - (off_axis / 0.016) ** 2)


def _fluid(
    rng: Generator, pathogen: str, x: np.ndarray, y: np.ndarray, vessels: np.ndarray
) -> np.ndarray:
    """What disease has put in the air's place: 0 nothing, 1 as dense as the chest wall, to 1.4."""
    if pathogen == "none":
        return np.zeros_like(x)
    strength = rng.beta(3, 1.1)  # mostly plain, now and then nearly invisible
    if pathogen == "bacteria":  # a lobe: upper, middle or lower, with bronchi left dark in it
        cx = float(rng.choice([-1, 1])) * rng.normal(0.43, 0.04)
        cy = float(rng.choice([-0.38, 0.02, 0.34])) + rng.normal(0, 0.04)
        rx, ry = rng.uniform(0.40, 0.54), rng.uniform(0.33, 0.48)
        ragged = 0.25 * _clouds(rng, x.shape, 9)
        lobe = _inside(1 + ragged - _length((x - cx) / rx, (y - cy) / ry), 0.12)
        return strength * lobe * (1.4 - 0.6 * vessels)
    patches = np.clip(0.65 + 0.5 * _clouds(rng, x.shape, 8), 0, 1)
    streaks = np.clip(1.5 * _clouds(rng, x.shape, 24), 0, 1)
    near_hila = np.exp(-((np.abs(x) - 0.32) ** 2) / 0.15 - (y - 0.05) ** 2 / 0.4)
    return np.minimum(strength * near_hila * (1.6 * patches + 0.3 * streaks), 1.3)


def _expose(rng: Generator, density: np.ndarray) -> np.ndarray:
    """Density to grey levels, uint8.

    As an automatic exposure does, each film is brought to a brightness and contrast of its own
    draw, so that neither tells the healthy from the ill; the grain is drawn likewise. Films are
    rather dark, or a network without normalisation would spend a short run on learning how bright
    films are on the whole.
    """
    film = np.clip(density + 0.05, 0, None) ** rng.uniform(1.3, 1.45)
    film = (film - film.mean()) / film.std()
    film = rng.uniform(0.30, 0.34) + rng.uniform(0.20, 0.23) * film
    film += rng.uniform(0.006, 0.028) * rng.standard_normal(film.shape, dtype=np.float32)
    return np.rint(255 * np.clip(film, 0, 1)).astype(np.uint8)


def film_name(patient: int, image: int, pathogen: str) -> str:
    """A file name as the published set has them; its healthy patients come in two series."""
    if pathogen != "none":
        return f"person{patient}_{pathogen}_{image}.jpeg"
    series = "IM" if patient % 2 else "NORMAL2-IM"
    return f"{series}-{patient:04d}-{image:04d}.jpeg"


def _roster(rng: Generator, films: int, first: int) -> Iterator[tuple[int, int]]:
    """(patient, image) of so many films; patients are numbered from `first`, images from 1."""
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
    seed: int = SEED,
) -> None:
    """Write `<root>/{train,test}/{NORMAL,PNEUMONIA}/*.jpeg`, so many films of each pathogen.

    There is no `val` folder: validation is carved from train. No patient is on both sides.
    """
    for kind, pathogen in enumerate(PATHOGENS):
        rng = np.random.default_rng([seed, kind])
        first = 1
        for split, counts in (("train", train), ("test", test)):
            folder = root / split / ("NORMAL" if pathogen == "none" else "PNEUMONIA")
            folder.mkdir(parents=True, exist_ok=True)
            for patient, image in _roster(rng, counts.get(pathogen, 0), first):
                film = Image.fromarray(draw_film(seed, patient, image, pathogen))
                film.save(folder / film_name(patient, image, pathogen), quality=JPEG_QUALITY)
                first = patient + 1


def ensure_films(cache_dir: Path) -> Path:
    """The folder of the synthetic films in `cache_dir`, drawn there first if there is none.

    They are drawn under a temporary name and renamed when complete, so a folder of the final name
    is always whole, whatever crashed and however many processes began at once.

    Raises UserError if `cache_dir` cannot be written.
    """
    films = cache_dir / f"synthetic-v{VERSION}"
    try:
        if films.is_dir():
            return films
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".drawing-") as drawing:
            unfinished = Path(drawing) / films.name
            write_films(unfinished)
            try:
                unfinished.rename(films)
            except OSError:
                if not films.is_dir():  # else another process was first: the same films
                    raise
    except OSError as error:
        raise UserError(f"{cache_dir}: cannot write the synthetic films there: {error}") from error
    return films
