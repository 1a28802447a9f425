"""The networks of a prediction, in batches of one shape."""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

from pneumojax.inference.ensemble import Ensemble
from pneumojax.inference.forward import make_forward
from pneumojax.inference.gradcam import make_explainer
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.predict.reading import Read, batched

LARGEST_BATCH = 64


class Batches:
    """The networks in batches of one shape, for which each is compiled once.

    Args:
        films: how many there are at most.
        explain: also where the evidence lies; of several networks the mean of their maps.
    """

    def __init__(self, ensemble: Ensemble, films: int, *, explain: bool):
        trained = ensemble.first
        devices = trained.mesh.size
        share = devices if films <= devices else FILMS_IN_CACHE * devices  # whole microbatches
        self.size = share * max(1, min(LARGEST_BATCH // share, math.ceil(films / share)))
        self._side = trained.meta["preprocessing"]["image_size"]
        make = make_explainer if explain else make_forward
        self._steps: list[Callable[[np.ndarray], Any]] = [
            partial(jax.jit(make(member.network, member.mesh)), member.params)
            for member in ensemble.members
        ]
        self._explains = explain

    def run(
        self, films: Iterable[Read]
    ) -> Iterator[tuple[list[Read], np.ndarray, np.ndarray | None]]:
        """Each batch with logits (members, size) and maps (size, h, w).

        The next batch is decoded meanwhile.
        """
        pending = None
        for batch in batched(films, self.size):
            images = np.zeros((self.size, self._side, self._side, 1), np.uint8)
            for i, read in enumerate(batch):
                if read.film is not None:
                    images[i, ..., 0] = read.film.pixels
            begun = batch, [step(images) for step in self._steps]
            if pending is not None:
                yield self._fetched(*pending)
            pending = begun
        if pending is not None:
            yield self._fetched(*pending)

    def _fetched(
        self, batch: list[Read], results: list[Any]
    ) -> tuple[list[Read], np.ndarray, np.ndarray | None]:
        found = jax.device_get(results)
        if not self._explains:
            return batch, np.stack(found), None
        logits, maps = zip(*found, strict=True)
        return batch, np.stack(logits), np.mean(maps, axis=0)
