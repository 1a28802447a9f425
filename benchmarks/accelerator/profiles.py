"""Part f: a trace of a few steps, and the ten kernels that take the most of them."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accelerator.kernels import Kernel, longest_kernels, read_events
from benchmarks.accelerator.recipes import RandomFilms, Recipe
from benchmarks.accelerator.steps import prepare_steps
from pneumojax.profiling import trace
from pneumojax.sharding import make_mesh


@dataclass(frozen=True)
class TracedSteps:
    """The longest kernels of a trace.

    trace: the file beside the record, which ui.perfetto.dev and chrome://tracing open.
    """

    steps: int
    trace: str
    kernels: list[Kernel]


def profile_steps(recipe: Recipe, path: Path) -> TracedSteps:
    """Traces three calls of one step each, and keeps the trace at `path` (.trace.json.gz)."""
    config = recipe.config()
    films = RandomFilms.of(config, recipe.films)
    steps = prepare_steps(config, films, make_mesh())
    for _ in range(3):
        steps.call()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        steps.state = trace.record(steps.calls, steps.state, steps.batches, folder)
        (written,) = folder.glob("plugins/profile/*/*.trace.json.gz")
        kernels = longest_kernels(read_events(written), 10)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        shutil.copyfile(written, part)
        part.replace(path)
    return TracedSteps(trace.CALLS * steps.steps_per_call, path.name, kernels)
