"""Draws synthetic chest films, for tests, docs and runs without any data.

A film is a sum of soft-edged shapes in units of its half-width and half-height: x runs from -1
(image left, the patient's right) to 1, y from -1 (neck) to 1 (abdomen). Bright is dense. Disease
is air replaced by fluid: one dense lobe (bacteria) or a patchy, streaky haze on both sides (virus).
"""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

PATHOGENS = ("none", "bacteria", "virus")

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


class Drawing(NamedTuple):
    """A film with what it shows, each (height, width).

    lungs: whether there is lung, aerated or not. opacity: fluid in place of air, 0 to 1.4; 1 has
    the density of the chest wall.
    """

    film: NDArray[np.uint8]
    lungs: NDArray[np.bool_]
    opacity: NDArray[np.float32]


def draw_film(
    seed: int, patient: int, image: int, pathogen: str, density: float = 1.0
) -> np.ndarray:
    """Draws one frontal film, uint8 (height, width).

    A patient is identified by pathogen and number. The films of a patient share the body and differ
    in size, pose, disease, exposure and grain; of these only the disease depends on the pathogen.

    Args:
        image: the number of the film among the patient's, from 1.
        pathogen: one of `PATHOGENS`.
        density: factor on the density of the fluid; below 1 the opacities are fainter.
    """
    return draw(seed, patient, image, pathogen, density).film


def draw(seed: int, patient: int, image: int, pathogen: str, density: float = 1.0) -> Drawing:
    """Draws the film of `draw_film`, and says where its lungs and its opacities are."""
    kind = PATHOGENS.index(pathogen)
    rng = np.random.default_rng([seed, kind, patient])
    body = Body(**{name: rng.uniform(*limits) for name, limits in ANATOMY.items()})
    rng = np.random.default_rng([seed, kind, patient, image])
    x, y = _pose(rng, height=int(rng.integers(184, 233)), width=int(rng.integers(216, 273)))
    # Strips of rows fit into the processor's cache, which saves a third of the time.
    strips = zip(np.array_split(x, 4), np.array_split(y, 4), strict=True)
    layers = [
        (_trunk(body, *xy) + _bones(body, *xy), _air(body, *xy), _vessels(body, *xy))
        for xy in strips
    ]
    solid, air, vessels = (np.concatenate(layer) for layer in zip(*layers, strict=True))
    fluid = density * _fluid(rng, pathogen, x, y, vessels)
    film = _expose(rng, solid - air * (0.56 * (1 - fluid) - 0.17 * vessels))
    return Drawing(film, air > 0.25, (fluid * air).astype(np.float32))


def _inside(distance: np.ndarray, softness: float) -> np.ndarray:
    """A soft-edged shape: 1 where the distance to its edge is positive, 0 where negative."""
    t = np.clip(distance / (6 * softness) + 0.5, 0, 1)  # 6 makes it about as steep as a sigmoid
    return t * t * (3 - 2 * t)


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """np.hypot in a fifth of its time."""
    return np.sqrt(x * x + y * y)


def _ellipse(x: np.ndarray, y: np.ndarray, rx: float, ry: float, softness: float) -> np.ndarray:
    return _inside(1 - _length(x / rx, y / ry), softness)


def _clouds(rng: Generator, shape: tuple[int, ...], cells: int) -> np.ndarray:
    """Smooth noise, about -1 to 1, with `cells` bumps across the film."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    height, width = shape
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _pose(rng: Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Body coordinates of every pixel; the child is a little tilted, shifted and scaled."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    zoom, tilt = np.float32(rng.normal(1, 0.025)), np.float32(rng.normal(0, 0.025))
    right, down = rng.normal(0, 0.025, 2).astype(np.float32)
    return zoom * (x + tilt * y) - right, zoom * (y - tilt * x) - down


def _heart(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The heart's shadow, which leans to the right of the image."""
    x, y = x - body.heart_x, y - (body.dome - 0.20)
    chambers = _ellipse(x - 0.15 * y, y - 0.4 * x, 1.1 * body.heart, 0.95 * body.heart, 0.05)
    vessels = _ellipse(x + 0.09, y + 0.38, 0.17, 0.36, 0.10)  # aorta and pulmonary trunk
    return np.maximum(chambers, vessels)


def _dome(body: Body, x: np.ndarray) -> np.ndarray:
    """y of the diaphragm: two domes, of which the liver raises the patient's right one."""
    return body.dome - 0.04 * (x < 0) + 1.5 * (np.abs(x) - 0.36) ** 2


def _air(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The air in two lungs, without the parts that heart, mediastinum and diaphragm fill."""
    depth = np.clip((y - body.apex) / (body.dome + 0.2 - body.apex), 0, 1)  # 0 apex, 1 base
    half = body.lung * np.sqrt(1 - (1 - depth) ** 2)
    lungs = _inside(half - np.abs(np.abs(x) - 0.31 - 0.15 * depth), 0.014)
    lungs *= _inside(y - body.apex, 0.02) * _inside(_dome(body, x) - y, 0.012)
    hila = _ellipse(np.abs(x) - 0.10, y + 0.08, 0.12, 0.17, 0.15)
    return lungs * (1 - 0.95 * _heart(body, x, y)) * (1 - 0.6 * hila)


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
    """Spine, clavicles and ribs; posterior ribs fall outwards, fainter anterior ones inwards."""
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
    """The fluid in place of air: 0 for none, 1 for the density of the chest wall, up to 1.4."""
    if pathogen == "none":
        return np.zeros_like(x)
    strength = rng.beta(3, 1.1)  # mostly obvious, sometimes nearly invisible
    if pathogen == "bacteria":  # an upper, middle or lower lobe with dark bronchi
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
    """Turns density into grey levels, uint8.

    As automatic exposure would, each film gets a brightness, contrast and grain drawn at random, so
    that none of them tells normal from pneumonia. Films are rather dark, since in a short run a
    network without normalisation would otherwise learn little but their mean brightness.
    """
    film = np.clip(density + 0.05, 0, None) ** rng.uniform(1.3, 1.45)
    film = (film - film.mean()) / film.std()
    film = rng.uniform(0.30, 0.34) + rng.uniform(0.20, 0.23) * film
    film += rng.uniform(0.006, 0.028) * rng.standard_normal(film.shape, dtype=np.float32)
    return np.rint(255 * np.clip(film, 0, 1)).astype(np.uint8)
