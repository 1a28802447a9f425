"""Do the maps depend on what the network has learned? The weight-randomisation check.

A map that looks the same after the weights are destroyed shows the film's edges and shades, not
what the network uses. Source: Adebayo et al., NeurIPS 2018, arXiv 1810.03292.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from pneumojax.stats.metrics import rank_correlation

FILMS = 16
# Fewer films with a map on both sides than this are no basis for a verdict.
FEWEST = 8
# Median rank correlation with the maps as trained, above which the check counts as failed.
MOST_ALIKE = 0.5
_STEP = 4  # every fourth pixel: feature maps are four times coarser than films

Explain = Callable[[dict, NDArray], tuple[Any, Any]]


def randomisation_check(
    explain: Explain, params: dict, images: NDArray[np.uint8], *, seed: int = 0
) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Compares maps as trained with maps after more and more weights are shuffled.

    A constant map has no ranks, so its film is left out of the correlation and counted instead.
    Neither kind is evidence for a verdict: a film without a map as trained shows nothing, and a
    map that vanishes has changed without telling whether the maps that remain follow the film.

    Args:
      explain: a compiled `make_explainer`; used once for each stage.
      params: of the network, by module, as in checkpoints.
      images: (n, h, w, 1), a number of films that the devices divide.
      seed: of the shuffling.

    Returns:
      "films" and, among them, "constant": those whose map as trained is constant. "stages", from
      the heads down to the whole network, each with the films "compared", those whose map
      "vanished" (constant now, though not as trained), and the "median" and "quartiles" over the
      films compared of the rank correlation (Spearman), None where none was. "passed": whether
      the last median is at most `MOST_ALIKE`, None where fewer than `FEWEST` films were compared
      there. And the maps (n, h, w) of each stage, "as trained" first.
    """
    trained = np.asarray(explain(params, images)[1])
    maps = {"as trained": trained}
    constant = sum(_is_constant(each) for each in trained)
    stages = []
    for name, shuffled in cascade(params, seed):
        maps[name] = np.asarray(explain(shuffled, images)[1])
        pairs = zip(trained, maps[name], strict=True)
        correlations = [c for pair in pairs if (c := alike(*pair)) is not None]
        stages.append(
            {
                "shuffled": name,
                "compared": len(correlations),
                "vanished": len(images) - constant - len(correlations),
                **_spread(correlations),
            }
        )
    last = stages[-1]
    result = {
        "films": len(images),
        "constant": constant,
        "fewest": FEWEST,
        "seed": seed,
        "limit": MOST_ALIKE,
        "stages": stages,
        "passed": last["median"] <= MOST_ALIKE if last["compared"] >= FEWEST else None,
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


def alike(first: NDArray, second: NDArray) -> float | None:
    """Spearman's correlation of two maps (h, w); None where one of them is constant."""
    if _is_constant(first) or _is_constant(second):
        return None
    return rank_correlation(_sampled(first), _sampled(second))


def _is_constant(evidence: NDArray) -> bool:
    return not np.ptp(_sampled(evidence))


def _sampled(evidence: NDArray) -> NDArray:
    return evidence[::_STEP, ::_STEP].ravel()


def _spread(correlations: list[float]) -> dict[str, Any]:
    if not correlations:
        return {"median": None, "quartiles": None}
    low, median, high = np.quantile(correlations, [0.25, 0.5, 0.75]).tolist()
    return {"median": median, "quartiles": [low, high]}


def _shuffled(tree: dict, rng: np.random.Generator) -> dict:
    def shuffle(leaf: jax.Array) -> jax.Array:
        values = rng.permutation(np.asarray(leaf).ravel()).reshape(leaf.shape)
        return jax.device_put(values, leaf.sharding)  # elsewhere it would be compiled again

    return jax.tree.map(shuffle, tree)
