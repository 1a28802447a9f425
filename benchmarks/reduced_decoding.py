"""Measures how decoding at reduced scale changes pixels and logits.

Command:   python -m benchmarks.reduced_decoding <run folder> <folder with train/> \\
               --output=records/data/reduced_decoding.json
The same films are decoded in full and by the decoder's own scaling, and scored by one run.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.film_pairs import command_line, score_pair
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import find_films
from pneumojax.data.splits import preprocessing_of
from pneumojax.inference.trained_run import TrainedRun


def compare(trained: TrainedRun, roots: list[Path], cache_dir: Path) -> dict[str, Any]:
    """Compares pixels, logits and calls of the films of one folder."""
    (root,) = roots
    full, reduced = (
        load_split(
            find_films(root),
            "train",
            dataclasses.replace(preprocessing_of(trained.config), reduced_decode=reduced),
            FilmCache(cache_dir),
            max_rejected_fraction=1.0,
        )
        for reduced in (False, True)
    )
    pair = score_pair(trained, full, reduced)
    return {
        "synthetic": bool(trained.meta["synthetic"]),
        "films": len(full),
        "mean_side": float(full.sizes.mean()),
        "films_reduced": int(np.sum(pair.pixels.any(axis=(1, 2)))),
        "pixel_difference_mean": float(pair.pixels.mean()),
        "pixel_difference_99th_percentile": float(np.percentile(pair.pixels, 99)),
        "pixel_difference_largest": float(pair.pixels.max()),
        "psnr_db": float(10 * np.log10(255**2 / np.mean(pair.pixels**2))),
        "step": trained.meta["step"],
        "logit_difference_mean": float(pair.logit_differences.mean()),
        "logit_difference_largest": float(pair.logit_differences.max()),
        "logit_standard_deviation": float(pair.logits[0].std()),
        "calls_changed": pair.calls_changed,
    }


if __name__ == "__main__":
    command_line(__doc__, compare, folders=1)
