"""The same films read in two ways and scored by one run: what the `compare_` programs share."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pneumojax.data.film_set import FilmSet
from pneumojax.files import write_json
from pneumojax.inference.batching import make_batched
from pneumojax.inference.forward import make_forward
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.stats.metrics import call, probability

# From a run, folders of films and the cache to the figures of a comparison.
Compare = Callable[[TrainedRun, list[Path], Path], dict[str, Any]]


@dataclass(frozen=True)
class Pair:
    """What two readings of n films give.

    Attributes:
        pixels: float64 (n, image_size, image_size), how far grey levels lie apart.
        logits: float32 (n,) of the first reading, and of the second.
    """

    pixels: np.ndarray
    logits: tuple[np.ndarray, np.ndarray]

    @property
    def logit_differences(self) -> np.ndarray:
        """How far the logits of each film lie apart, (n,)."""
        return np.abs(self.logits[0] - self.logits[1])

    @property
    def calls_changed(self) -> int:
        """How many films are called otherwise at 0.5."""
        first, second = (call(probability(values)) for values in self.logits)
        return int(np.sum(first != second))


def score_pair(trained: TrainedRun, first: FilmSet, second: FilmSet) -> Pair:
    """Pixels and logits of two readings of the same films, in the same order."""
    score = make_batched(
        make_forward(trained.network, trained.mesh), trained.mesh, trained.config.batch_size
    )
    everything = np.arange(len(first))
    pixels = [films.pixels(everything).astype(float) for films in (first, second)]
    logits = (score(trained.params, first), score(trained.params, second))
    return Pair(np.abs(pixels[0] - pixels[1]), logits)


def command_line(description: str | None, compare: Compare, folders: int) -> None:
    """Compares what the arguments name, prints the figures and writes them where --output says."""
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
