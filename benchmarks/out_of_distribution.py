"""Measures how often prediction warns of held-out films and of pictures that are no chest films.

Command:   python -m benchmarks.out_of_distribution --root=path/to/chest_xray \\
               --write=records/data/out_of_distribution.json
It fits the distribution of the training films as a run of `configs/base.py` does. It then scores
the validation films, unchanged and turned, and other pictures: crops of two photographs and digits
from scikit-learn, noise, and pages of text.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits, load_sample_images

from pneumojax.configs import base
from pneumojax.data.out_of_distribution import QUANTILE, TrainingDistribution, fit_distribution
from pneumojax.data.splits import load_splits
from pneumojax.files import write_json


def main() -> None:
    """Measures, prints, and stores the counts if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", required=True)
    parser.add_argument("--cache_dir", default="~/.cache/pneumojax")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    config = base.get_config()
    config.data.root = arguments.root
    splits = load_splits(config, Path(arguments.cache_dir).expanduser())
    fitted = fit_distribution(splits.train)
    if fitted is None or splits.validation is None:
        parser.error("--root: too few films to fit a distribution, or no validation films")
    distribution = TrainingDistribution(**fitted)
    held_out = splits.validation.pixels(np.arange(len(splits.validation)))
    rows = {}
    for name, images in {"held-out films": held_out, **others(held_out)}.items():
        warned = int(np.sum(distribution.distances(images) > distribution.limit))
        rows[name] = {"pictures": len(images), "warned": warned}
        print(f"{name:40} {warned:4} of {len(images):4}  {warned / len(images):.1%}")
    if arguments.write:
        result = {"root": Path(arguments.root).name, "fitted_on": distribution.films}
        write_json(
            arguments.write, result | {"quantile": QUANTILE, "limit": distribution.limit} | rows
        )
    print(f"limit {distribution.limit:.2f}, fitted on {distribution.films:,} films")


def others(films: np.ndarray) -> dict[str, np.ndarray]:
    """Makes pictures uint8 (n, s, s) of each kind, as large as the films."""
    rng, side = np.random.default_rng(0), films.shape[1]
    return {
        "films inverted": 255 - films,
        "films turned a quarter left": np.rot90(films, 1, (1, 2)),
        "films turned a quarter right": np.rot90(films, 3, (1, 2)),
        "films upside down": films[:, ::-1, ::-1],
        "films mirrored": films[:, :, ::-1],
        "photographs, made grey": _photographs(rng, side),
        "handwritten digits": _resized(load_digits().images[:200] * 15.9, side),
        "noise": rng.integers(0, 256, (50, side, side)).astype(np.uint8),
        "smooth noise": _resized(rng.integers(0, 256, (50, 6, 6)), side),
        "pages of text": _text(side),
    }


def _photographs(rng: np.random.Generator, side: int) -> np.ndarray:
    crops = []
    for photograph in load_sample_images().images:
        picture = Image.fromarray(photograph).convert("L")
        for _ in range(100):
            across = int(rng.integers(150, picture.height))
            x = int(rng.integers(0, picture.width - across))
            y = int(rng.integers(0, picture.height - across))
            crop = picture.crop((x, y, x + across, y + across))
            crops.append(np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR)))
    return np.stack(crops)


def _resized(pictures: np.ndarray, side: int) -> np.ndarray:
    small = [Image.fromarray(picture.astype(np.uint8)) for picture in pictures]
    return np.stack([np.asarray(p.resize((side, side), Image.Resampling.BICUBIC)) for p in small])


def _text(side: int) -> np.ndarray:
    pages = []
    for size in range(8, 28):
        page = Image.new("L", (600, 800), 255)
        draw = ImageDraw.Draw(page)
        for y in range(40, 760, size + 6):
            draw.text((40, y), "No focal consolidation is seen. " * 3, fill=0, font_size=size)
        pages.append(np.asarray(page.resize((side, side), Image.Resampling.BILINEAR)))
    return np.stack(pages)


if __name__ == "__main__":
    main()
