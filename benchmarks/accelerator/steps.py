"""Training steps ready to run, built by the functions that training calls."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from benchmarks.accelerator.recipes import RandomFilms
from pneumojax.data.film_set import FilmSet
from pneumojax.data.pipeline import BatchOrder
from pneumojax.inference.network import make_network
from pneumojax.profiling.measure import cache_hits
from pneumojax.sharding import replicated
from pneumojax.training.calls import CallInput, CompiledCalls, make_input
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import TrainState, initial_state
from pneumojax.training.step import make_train_step


@dataclass
class Steps:
    """A compiled call of training with its input; `state` changes with every call.

    from_cache: whether JAX's compilation cache had the program, so that `compile_seconds` says
        nothing about compiling.
    """

    calls: CompiledCalls
    state: TrainState
    source: CallInput
    batches: Iterator[dict[str, Any]]
    compile_seconds: float
    from_cache: bool

    def call(self) -> dict[str, Any]:
        """Dispatches the next call and returns its metrics, which are not waited for."""
        self.state, metrics = self.calls(self.state, next(self.batches))
        return metrics

    @property
    def steps_per_call(self) -> int:
        return self.source.calls.steps_per_call


def prepare_steps(config: ConfigDict, films: RandomFilms, mesh: Mesh) -> Steps:
    """Compiles the calls of a training run; only calls of full length are made."""
    order = BatchOrder(films.labels, config.batch_size, config.seed)
    optimizer = make_optimizer(config, order.steps_per_epoch)
    begin = jax.jit(lambda: initial_state(config, optimizer), out_shardings=replicated(mesh))
    state = begin()
    source = make_input(cast(FilmSet, films), order, config, mesh, first_step=0)
    step = make_train_step(config, make_network(config), optimizer, order.steps_per_epoch, mesh)
    with cache_hits() as hits:
        began = time.perf_counter()
        last = source.calls.steps_per_call  # one call: a shorter one would be compiled for nothing
        calls = CompiledCalls(step, state, config, mesh, source, last_step=last)
        seconds = time.perf_counter() - began
    return Steps(calls, state, source, source.full_batches, seconds, bool(hits))
