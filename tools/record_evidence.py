"""Measures where the evidence of the released network lies, on real and on drawn films.

Command:   python -m tools.record_evidence <folder of an evaluation> ...

The evaluations of models/reference, made with --mode=evaluate, have the share of Grad-CAM's
evidence inside the thorax. On drawn films this program plays the pointing game (Zhang et al., IJCV
126:1084, 2018): a film is a hit if the strongest place of its map lies on the opacity or within a
margin of it. The result is records/reference/evidence.json.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image

from benchmarks.hardware import hardware
from pneumojax.data.phantom import draw
from pneumojax.files import write_json
from pneumojax.inference.predictor import Predictor
from pneumojax.stats.estimates import Share, json_ready
from tools.docs.places import REFERENCE, ROOT

RELEASED = ROOT / "models" / "reference"
STORED = REFERENCE / "evidence.json"
SEED, FILMS = 32, 200
# Fluid in place of at least half of the air. Fainter rims are not visible on every film.
LEAST_OPACITY = 0.5
# 15 pixels of films of about 224, as in the paper.
MARGIN = 15 / 224


@dataclass(frozen=True)
class Pointing:
    """The pointing game on films with one opacity.

    without_map: films on which nothing is evidence for pneumonia.
    hits: the share of the other films whose strongest place is on the opacity.
    chance: the mean share of a film's area that counts as a hit.
    centre: the share of films that pointing at the film's centre would hit.
    """

    films: int
    without_map: int
    hits: Share
    chance: float
    centre: float


def pointing_game(maps: NDArray[np.float32], targets: NDArray[np.bool_]) -> Pointing:
    """Plays the game with maps (n, h, w) and the pixels (n, h, w) that count as hits."""
    n, height, width = maps.shape
    places = maps.reshape(n, -1).argmax(axis=1)
    has_map = maps.any(axis=(1, 2))
    hit = targets.reshape(n, -1)[np.arange(n), places] & has_map
    return Pointing(
        films=n,
        without_map=int((~has_map).sum()),
        hits=Share.count(int(hit.sum()), int(has_map.sum())),
        chance=float(targets.mean()),
        centre=float(targets[:, height // 2, width // 2].mean()),
    )


def drawn_films(side: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Films with one dense lobe (n, side, side), and the pixels that count as hits."""
    films, targets = [], []
    for patient in range(1, FILMS + 1):
        drawing = draw(SEED, patient, 1, "bacteria")
        opacity = _shrunk(drawing.opacity, side) >= LEAST_OPACITY
        if opacity.any():  # a very faint one has no place
            films.append(_shrunk(drawing.film, side))
            distance = scipy.ndimage.distance_transform_edt(~opacity)
            targets.append(distance <= MARGIN * side)
    return np.stack(films), np.stack(targets)


def _shrunk(picture: NDArray, side: int) -> NDArray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))


def play(predictor: Predictor) -> dict[str, Any]:
    """The pointing game of the network on drawn films, and its calls of films of each kind."""
    side = predictor.first.preprocessing.image_size
    films, targets = drawn_films(side)
    normal = np.stack(
        [_shrunk(draw(SEED, patient, 1, "none").film, side) for patient in range(1, FILMS + 1)]
    )
    return {
        **vars(pointing_game(predictor.explain(films)[1], targets)),
        "called_with_an_opacity": _called(predictor, films),
        "called_without": _called(predictor, normal),
    }


def _called(predictor: Predictor, films: NDArray[np.uint8]) -> Share:
    calls = predictor.decision.calls(predictor.probabilities(films))
    return Share.count(int(calls.sum()), len(films))


def evaluated(folder: Path) -> dict[str, Any]:
    """The evidence by class that an evaluation has measured on real films."""
    metrics = json.loads((folder / "metrics.json").read_text())
    return {"films": Path(metrics["root"]).name, **metrics["evidence"]}


def main() -> None:
    """Stores the evidence of the named evaluations, and plays the pointing game."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("evaluations", type=Path, nargs="*", help="folders with a metrics.json")
    folders = parser.parse_args().evaluations
    record = {
        "evaluations": [evaluated(folder) for folder in folders],
        "pointing": play(Predictor.open([RELEASED])),
        "least_opacity": LEAST_OPACITY,
        "margin": MARGIN,
        "hardware": hardware(),
    }
    write_json(STORED, json_ready(record))


if __name__ == "__main__":
    main()
