"""Films through a network in one mode: evaluation, every film once."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pneumojax.data.film_set import FilmSet
from pneumojax.data.pipeline import evaluation_batches, to_devices
from pneumojax.inference.forward import make_forward
from pneumojax.inference.network import Network
from pneumojax.sharding import replicated

Score = Callable[[dict, FilmSet], np.ndarray]


def make_scorer(network: Network, mesh: Mesh, batch_size: int) -> Score:
    """`(params, films) -> float32 logits (n,)`, compiled at its first call and never again.

    A second compilation would be films of another size, so it is an error.
    """
    compiled: dict[str, jax.stages.Compiled] = {}
    split = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    evaluation_step = jax.jit(
        make_forward(network, mesh),
        in_shardings=(replicated(mesh), split),
        out_shardings=replicated(mesh),
    )

    def score(params: dict, films: FilmSet) -> np.ndarray:
        # Logits stay on the devices until the end: fetching each would make the next batch wait.
        batches = to_devices(evaluation_batches(films, batch_size), mesh)
        logits = []
        for batch in batches:
            if not compiled:
                compiled["step"] = evaluation_step.lower(params, batch["image"]).compile()
            logits.append(compiled["step"](params, batch["image"]))
        return np.concatenate(jax.device_get(logits))[: len(films)]

    return score
