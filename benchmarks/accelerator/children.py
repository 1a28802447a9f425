"""Jobs that need a process of their own: for other XLA flags, or in order to be killed.

`python -m benchmarks.accelerator.children <job> <arguments in JSON>` prints the answer as its last
line, in JSON too.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.accelerator.recipes import RandomFilms, Recipe

ROOT = Path(__file__).resolve().parents[2]


def command(job: str, arguments: dict[str, Any]) -> list[str]:
    """The command line of a job, to be run in `ROOT`."""
    return [sys.executable, "-m", "benchmarks.accelerator.children", job, json.dumps(arguments)]


def environment(flags: str = "") -> dict[str, str]:
    """The environment of a job: more XLA flags, and a compilation cache of nobody's.

    Programs compiled under other flags must not be taken from the cache.
    """
    given = os.environ.get("XLA_FLAGS", "")
    changed = {"XLA_FLAGS": f"{given} {flags}".strip(), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    return os.environ | changed


def ask(job: str, arguments: dict[str, Any], flags: str = "") -> dict[str, Any]:
    """Runs a job to its end and returns its answer.

    Raises:
        RuntimeError: it failed; the message is its last line.
    """
    ended = subprocess.run(
        command(job, arguments), cwd=ROOT, env=environment(flags), capture_output=True, text=True
    )
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        raise RuntimeError(f"{job}: {lines[-1][:300]}")
    return json.loads(ended.stdout.strip().splitlines()[-1])


def digest(recipe: dict[str, Any], steps: int) -> dict[str, Any]:
    """A hash of all bits of the state after some steps."""
    import jax
    import numpy as np

    from benchmarks.accelerator.steps import prepare_steps
    from pneumojax.sharding import make_mesh

    given = Recipe(**recipe)
    config = given.config()
    prepared = prepare_steps(config, RandomFilms.of(config, given.films), make_mesh())
    for _ in range(steps):
        prepared.call()
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(prepared.state)):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return {"digest": found.hexdigest()}


def step_time(recipe: dict[str, Any]) -> dict[str, Any]:
    """The median seconds of a step, and those of compiling it."""
    import statistics

    from benchmarks.accelerator.steps import prepare_steps
    from benchmarks.accelerator.training import timed_steps
    from pneumojax.sharding import make_mesh

    given = Recipe(**recipe)
    config = given.config()
    prepared = prepare_steps(config, RandomFilms.of(config, given.films), make_mesh())
    seconds = statistics.median(timed_steps(prepared, smoke=given.smoke))
    return {"median_seconds": seconds, "compile_seconds": prepared.compile_seconds}


def train(name: str, fields: dict[str, Any], films: str, workdir: str) -> dict[str, Any]:
    """Trains a shipped config on a folder of films, and says how long it took."""
    import jax

    from pneumojax.configs import quick, reference
    from pneumojax.run.history import read_history, read_lines
    from pneumojax.training.loop import train as train_run

    config = {"quick": quick, "reference": reference}[name].get_config()
    config.update_from_flattened_dict(fields | {"data.root": films})
    compiling = [0.0]

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiling[0] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    began = time.perf_counter()
    train_run(config.lock(), Path(workdir), Path(films).parent / "cache")
    took = time.perf_counter() - began
    lines = [line for line in read_lines(Path(workdir) / "metrics.jsonl") if line["kind"] == "step"]
    history = read_history(Path(workdir))
    steps = len(lines)
    return {
        "steps": steps,
        "losses": [line["loss"] for line in lines],
        "seconds": took,
        "compile_seconds": compiling[0],
        "step_seconds": sum(h["seconds_per_step"] for h in history) * steps / len(history),
        "last_epoch": {k: v for k, v in history[-1].items() if k.startswith("val_")},
    }


def as_arguments(recipe: Recipe) -> dict[str, Any]:
    """A recipe as the JSON argument of a job."""
    return asdict(recipe)


JOBS: dict[str, Callable[..., Any]] = {
    "digest": digest,
    "step_time": step_time,
    "train": train,
}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](**json.loads(sys.argv[2]))))
