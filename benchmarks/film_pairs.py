"""Compares two readings of the same films by one run, for `film_sizes` and `reduced_decoding`."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pneumojax.data.film_set import FilmSet
from pneumojax.files import write_json
from pneumojax.inference.forward import make_batched, make_forward
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.stats.metrics import call, probability

# Takes a run, folders of films and the folder of the cache; returns the figures of a comparison.
Compare = Callable[[TrainedRun, list[Path], Path], dict[str, Any]]


@dataclass(frozen=True)
class Pair:
    """The difference between two readings of n films.

    Attributes:
        pixels: float64 (n, image_size, image_size), absolute differences of grey levels.
        logits: float32 (n,) of the first reading, and of the second.
    """

    pixels: np.ndarray
    logits: tuple[np.ndarray, np.ndarray]

    @property
    def logit_differences(self) -> np.ndarray:
        """Absolute differences of the logits, (n,)."""
        return np.abs(self.logits[0] - self.logits[1])

    @property
    def calls_changed(self) -> int:
        """The number of films that are called differently at 0.5."""
        first, second = (call(probability(values)) for values in self.logits)
        return int(np.sum(first != second))


def score_pair(trained: TrainedRun, first: FilmSet, second: FilmSet) -> Pair:
    """Compares two readings of the same films in the same order."""
    score = make_batched(
        make_forward(trained.network, trained.mesh), trained.mesh, trained.config.batch_size
    )
    everything = np.arange(len(first))
    pixels = [films.pixels(everything).astype(float) for films in (first, second)]
    logits = (score(trained.params, first), score(trained.params, second))
    return Pair(np.abs(pixels[0] - pixels[1]), logits)


def command_line(description: str | None, compare: Compare, folders: int) -> None:
    """Compares the folders that the arguments name, and prints or stores the figures."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("roots", type=Path, nargs=folders)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    cache_dir = arguments.cache_dir.expanduser().resolve()
    result = compare(open_run(arguments.workdir.resolve()), arguments.roots, cache_dir)
    for name, value in result.items():
        print(f"{name:34} {value}")
    if arguments.output:
        write_json(arguments.output.resolve(), result)
