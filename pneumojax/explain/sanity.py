"""Do the maps depend on what the network has learned? The weight-randomisation check.

A map that looks the same after the weights are destroyed shows the film's edges and shades, not
what the network uses. Source: Adebayo et al., NeurIPS 2018, arXiv 1810.03292.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from pneumojax.evaluation.metrics import rank_correlation

FILMS = 16
# Median rank correlation with the maps as trained, above which the check counts as failed.
MOST_ALIKE = 0.5
_STEP = 4  # every fourth pixel: feature maps are four times coarser than films

Explain = Callable[[dict, NDArray], tuple[Any, Any]]


def randomisation_check(
    explain: Explain, params: dict, images: NDArray[np.uint8], *, seed: int = 0
) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Compares maps as trained with maps after more and more weights are shuffled.

    Args:
      explain: a compiled `make_explainer`; used once for each stage.
      params: of the network, by module, as in checkpoints.
      images: (n, h, w, 1), a number of films that the devices divide.
      seed: of the shuffling.

    Returns:
      "stages", from the heads down to the whole network, each with the rank correlations
      (Spearman) over films: their median and quartiles; a film without a map on one side counts
      as 0. "passed" is whether the last median is at most `MOST_ALIKE`. And the maps (n, h, w) of
      each stage, "as trained" first.
    """
    maps = {"as trained": np.asarray(explain(params, images)[1])}
    stages = []
    for name, shuffled in cascade(params, seed):
        maps[name] = np.asarray(explain(shuffled, images)[1])
        pairs = zip(maps["as trained"], maps[name], strict=True)
        low, median, high = np.quantile(
            [alike(*pair) for pair in pairs], [0.25, 0.5, 0.75]
        ).tolist()
        stages.append({"shuffled": name, "median": median, "quartiles": [low, high]})
    result = {
        "films": len(images),
        "seed": seed,
        "limit": MOST_ALIKE,
        "stages": stages,
        "passed": stages[-1]["median"] <= MOST_ALIKE,
    }
    return result, maps


def cascade(params: dict, seed: int) -> Iterator[tuple[str, dict]]:
    """Parameters with the heads shuffled, then one module after the other, last the stem.

    Each array keeps its values in another order, so that activations keep their size.
    """
    rng = np.random.default_rng([seed])
    heads = [name for name in params if name.endswith("_head")]
    stem = [name for name in params if name.startswith("stem")]
    params = dict(params)
    for name in heads:
        params[name] = _shuffled(params[name], rng)
    yield "heads", dict(params)
    modules = params["modules"]
    for last in sorted(modules, key=int, reverse=True):
        params["modules"] = params["modules"] | {last: _shuffled(modules[last], rng)}
        yield f"and module {int(last) + 1}", dict(params)
    for name in stem:
        params[name] = _shuffled(params[name], rng)
    yield "and stem", params


def alike(first: NDArray, second: NDArray) -> float:
    """Spearman's correlation of two maps (h, w); 0 where one of them is constant."""
    correlation = rank_correlation(*(each[::_STEP, ::_STEP].ravel() for each in (first, second)))
    return 0.0 if np.isnan(correlation) else correlation


def _shuffled(tree: dict, rng: np.random.Generator) -> dict:
    def shuffle(leaf: jax.Array) -> jax.Array:
        values = rng.permutation(np.asarray(leaf).ravel()).reshape(leaf.shape)
        return jax.device_put(values, leaf.sharding)  # elsewhere it would be compiled again

    return jax.tree.map(shuffle, tree)
