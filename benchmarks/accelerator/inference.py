"""Part e: films a second and the latency of one film, from the host and back."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.accelerator.recipes import RandomFilms, Recipe
from pneumojax.inference.forward import MeshStep, Step, in_turn, make_forward
from pneumojax.inference.network import make_network
from pneumojax.sharding import make_mesh, replicated
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import evaluation_params, initial_state


@dataclass(frozen=True)
class InferenceTime:
    """The forward pass on films that the host sends, with logits that the host gets back.

    films_per_second: by batch size; a batch is sent while the one before it is computed.
    latency_seconds, latency_p90_seconds: of one film on one device, alone.
    """

    image_size: int
    films_per_second: dict[str, float]
    latency_seconds: float
    latency_p90_seconds: float


def measure_inference(recipe: Recipe) -> InferenceTime:
    """Times the function that `Predictor` and evaluation call, on random weights."""
    config = recipe.config()
    mesh, network = make_mesh(), make_network(config)
    begin = jax.jit(
        lambda: evaluation_params(network, initial_state(config, make_optimizer(config, 1))),
        out_shardings=replicated(mesh),
    )
    params = begin()
    step = MeshStep(lambda: make_forward(network, mesh), mesh)
    batches = (4,) if recipe.smoke else (64, 512)
    seconds = 0.2 if recipe.smoke else 2.0
    rates = {}
    for count in (count * mesh.size for count in batches):
        films = RandomFilms.of(config, count).images[..., None]
        rates[str(count)] = _films_per_second(partial(step, params), films, seconds)
    one = RandomFilms.of(config, mesh.size).images[..., None]
    jax.device_get(step(params, one))  # compiles
    latencies = [_seconds(lambda: jax.device_get(step(params, one))) for _ in range(50)]
    return InferenceTime(
        config.data.image_size,
        rates,
        statistics.median(latencies),
        float(np.percentile(latencies, 90)),
    )


def _films_per_second(step: Step, films: np.ndarray, seconds: float) -> float:
    jax.device_get(step(films))  # compiles
    once = _seconds(lambda: jax.device_get(step(films)))
    count = max(3, int(seconds / once))
    took = _seconds(lambda: list(in_turn(step, ((i, films) for i in range(count)))))
    return count * len(films) / took


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
