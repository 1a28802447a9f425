"""Measures how the file size of films changes their pixels and logits.

Command:   python -m benchmarks.film_sizes <run folder> <folder> <other folder> --output=x.json
Films of the two folders are matched by file name; both are read by the run's own preprocessing.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.film_pairs import command_line, score_pair
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.film_set import FilmSet
from pneumojax.data.films import find_films
from pneumojax.data.splits import preprocessing_of
from pneumojax.inference.trained_run import TrainedRun
from pneumojax.stats.metrics import auroc


def compare(trained: TrainedRun, roots: list[Path], cache_dir: Path) -> dict[str, Any]:
    """Compares pixels, logits and calls of the films that both folders have."""

    def load(root: Path) -> FilmSet:
        return load_split(
            find_films(root),
            "train",
            preprocessing_of(trained.config),
            FilmCache(cache_dir),
            max_rejected_fraction=1.0,
        )

    first, second = (load(root) for root in roots)
    common = sorted(set(first.paths) & set(second.paths))
    first, second = (
        films.select(np.array([films.paths.index(path) for path in common]))
        for films in (first, second)
    )
    pair = score_pair(trained, first, second)
    return {
        "synthetic": bool(trained.meta["synthetic"]),
        "films": len(common),
        "folders": [root.name for root in roots],
        "mean_sides": [float(films.sizes.mean()) for films in (first, second)],
        "step": trained.meta["step"],
        "pixel_difference_mean": float(pair.pixels.mean()),
        "logit_difference_mean": float(pair.logit_differences.mean()),
        "logit_difference_median": float(np.median(pair.logit_differences)),
        "logit_difference_largest": float(pair.logit_differences.max()),
        "logit_standard_deviation": float(pair.logits[0].std()),
        "logit_correlation": float(np.corrcoef(pair.logits)[0, 1]),
        "calls_changed": pair.calls_changed,
        "auroc": [float(auroc(first.labels, values)) for values in pair.logits],
    }


if __name__ == "__main__":
    command_line(__doc__, compare, folders=2)
