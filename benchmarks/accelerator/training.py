"""Part c: the time of a training step, and its share of what the card can do."""

import functools
from dataclasses import dataclass

import numpy as np

from benchmarks.accelerator.bounds import Operation, least_seconds, operations
from benchmarks.accelerator.ceilings import Ceilings
from benchmarks.accelerator.recipes import RandomFilms, Recipe
from benchmarks.accelerator.steps import Steps, prepare_steps
from pneumojax.inference.network import make_network
from pneumojax.profiling.measure import memory, time_steps
from pneumojax.profiling.work import count_work
from pneumojax.sharding import make_mesh


@dataclass(frozen=True)
class StepTime:
    """A training step of films that lie on the device.

    median_seconds, p90_seconds: from the end of one step to the end of the next; the steps of a
        call share its time equally.
    flops: of convolutions and products, by `profiling.work`.
    bytes, least_seconds: the least that a step can move and take, by `bounds`.
    share_of_ceiling: of the measured rate of a large product in this precision.
    share_of_roofline: the least time over the median.
    memory: bytes, as `profiling.measure.memory` names them.
    """

    films: int
    image_size: int
    devices: int
    steps_per_call: int
    steps_timed: int
    compile_seconds: float
    compiled_from_cache: bool
    median_seconds: float
    p90_seconds: float
    films_per_second: float
    flops: int
    flops_per_second: float
    share_of_ceiling: float
    bytes: int
    least_seconds: float
    share_of_roofline: float
    memory: dict[str, int | list[int]]


def measure_training(recipe: Recipe, ceilings: Ceilings) -> StepTime:
    """Times one recipe on all devices of this process's job, for three seconds or 32 steps."""
    config = recipe.config()
    mesh = make_mesh()
    steps = prepare_steps(config, RandomFilms.of(config, recipe.films), mesh)
    seconds = timed_steps(steps, smoke=recipe.smoke)
    median = float(np.median(seconds))
    size = config.data.image_size
    flops = count_work(make_network(config), size).step_flops(config.batch_size)
    of_each = config.batch_size // mesh.size
    found = _operations(Recipe(recipe.network, recipe.precision, of_each, smoke=recipe.smoke))
    least = least_seconds(found, ceilings, recipe.precision)
    ceiling = ceilings.flops_per_second[recipe.precision] * mesh.size
    return StepTime(
        films=config.batch_size,
        image_size=size,
        devices=mesh.size,
        steps_per_call=steps.steps_per_call,
        steps_timed=len(seconds),
        compile_seconds=steps.compile_seconds,
        compiled_from_cache=steps.from_cache,
        median_seconds=median,
        p90_seconds=float(np.percentile(seconds, 90)),
        films_per_second=config.batch_size / median,
        flops=flops,
        flops_per_second=flops / median,
        share_of_ceiling=flops / median / ceiling,
        bytes=sum(operation.bytes for operation in found) * mesh.size,
        least_seconds=least,
        share_of_roofline=least / median,
        memory=memory(steps.calls.longest),
    )


def timed_steps(steps: Steps, *, smoke: bool) -> list[float]:
    """Seconds of consecutive steps, timed as training takes them."""
    # Two calls warm up. A power-limited card takes a second to reach its clock under load.
    seconds, fewest, most = (0.2, 2, 8) if smoke else (3.0, 32, 100_000)
    steps.state, timing = time_steps(
        steps.calls, steps.state, steps.batches, seconds=seconds, fewest=fewest, most=most
    )
    return timing.seconds


@functools.cache  # tracing Inception-v3 takes seconds
def _operations(recipe: Recipe) -> list[Operation]:
    return operations(recipe.config())
