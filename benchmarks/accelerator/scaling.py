"""Films a second of several devices and processes, against those of one."""

import statistics
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh

from benchmarks.accelerator.recipes import BATCHES, RandomFilms, Recipe
from benchmarks.accelerator.steps import prepare_steps
from benchmarks.accelerator.training import timed_steps
from pneumojax.sharding import make_mesh


@dataclass(frozen=True)
class ScalingPoint:
    """Steps of a number of devices.

    efficiency: films a second over those of the first point times the ratio of devices.
    """

    devices: int
    films: int
    median_seconds: float
    films_per_second: float
    efficiency: float


@dataclass(frozen=True)
class Scaling:
    """The step of base with 1, 2, 4 ... devices; in a job of several processes, with all of them.

    A job has one point of each kind, to compare with the record of a process that ran alone.

    weak: with as many films for each device. strong: with the films of one device divided.
    """

    processes: int
    weak: list[ScalingPoint]
    strong: list[ScalingPoint]


def measure_scaling(smoke: bool) -> Scaling:
    """Times every mesh with both kinds of batches; a smoke run takes the first and the last."""
    make_mesh()  # sets how a CPU dispatches, before it is first used
    meshes = _meshes()
    if smoke and len(meshes) > 1:
        meshes = [meshes[0], meshes[-1]]
    weak: list[ScalingPoint] = []
    strong: list[ScalingPoint] = []
    # All strong batches must be divisible by the largest mesh.
    of_one = 4 if smoke else BATCHES["base"]
    whole = -(-of_one // meshes[-1].size) * meshes[-1].size
    for mesh in meshes:
        weak.append(_point(mesh, of_one * mesh.size, smoke, weak))
        strong.append(_point(mesh, whole, smoke, strong))
    return Scaling(jax.process_count(), weak, strong)


def _meshes() -> list[Mesh]:
    count = jax.device_count()
    # In a job, a mesh of some devices would leave processes without any.
    is_job = jax.process_count() > 1
    powers = [] if is_job else [2**i for i in range(count.bit_length()) if 2**i < count]
    return [Mesh(np.array(jax.devices()[:some]), ("data",)) for some in (*powers, count)]


def _point(mesh: Mesh, films: int, smoke: bool, before: list[ScalingPoint]) -> ScalingPoint:
    recipe = Recipe("base", "bfloat16", batch=films, smoke=smoke)
    config = recipe.config()
    prepared = prepare_steps(config, RandomFilms.of(config, max(films, recipe.films)), mesh)
    seconds = statistics.median(timed_steps(prepared, smoke=smoke))
    rate = films / seconds
    first = before[0] if before else None
    fair = first.films_per_second * mesh.size / first.devices if first else rate
    return ScalingPoint(mesh.size, films, seconds, rate, rate / fair)
