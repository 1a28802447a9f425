"""`--mode=profile`: where the time and memory of a config's training step go, on this machine."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from pneumojax.data.pipeline import (
    films_per_epoch,
    steps_per_epoch,
    to_devices,
    training_batches,
)
from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.files import printable, replacing, write_json
from pneumojax.inference.network import make_network
from pneumojax.profiling import devices, measure, trace
from pneumojax.profiling.page import draw_page, print_page
from pneumojax.profiling.work import count_work
from pneumojax.run.begin import claim
from pneumojax.run.provenance import provenance
from pneumojax.sharding import make_mesh, replicated
from pneumojax.training.checks import check_batch, check_training
from pneumojax.training.compiling import compile_step
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.step import make_train_step

LONGEST = 10  # operations on the page; profile.json has MORE
MORE = 50


def profile(
    config: ConfigDict, workdir: Path, cache_dir: Path, *, verify_films: bool = False
) -> dict[str, Any]:
    """Profiles the step that `train` would run, on its films, from fresh parameters.

    Writes profile.json, profile.png and profile/ (the trace) into `workdir` and touches nothing
    else there. Returns what profile.json holds, see docs/performance.md.

    Args:
        config: resolved and locked.
        workdir: a folder that is not there, is empty, or holds a run of the same config.
        cache_dir: for decoded films and compiled steps.
        verify_films: hash every film again before trusting the cache.

    Raises:
        UserError: what the user can mend, in one line.
    """
    prepare(workdir, config)
    mesh = make_mesh()
    check_training(config, mesh)
    network = make_network(config)
    films = load_splits(config, cache_dir, verify=verify_films).train
    balanced = config.data.balanced
    visited = films_per_epoch(films.labels, balanced)
    if note := check_batch(config, mesh, visited):
        print(note)
    per_epoch = steps_per_epoch(visited, config.batch_size)
    optimizer = make_optimizer(config, per_epoch)
    work = count_work(network, config.augment.size or config.data.image_size)

    # The key of a cached step leaves out source lines: one compiled from other code would answer
    # with the lines of that code.
    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
    begin = jax.jit(lambda: initial_state(config, optimizer), out_shardings=replicated(mesh))
    state = begin()
    with _CacheHits() as hits:
        began = time.perf_counter()
        train_step = make_train_step(config, network, optimizer, per_epoch, mesh)
        step = compile_step(train_step, state, config, mesh)
        compiling = {"seconds": time.perf_counter() - began, "from_cache": hits.count > 0}

    stream = training_batches(
        films, config.batch_size, seed=config.seed, start_step=0, balanced=balanced
    )
    batches = to_devices(stream, mesh)
    print("timing steps ...", flush=True)
    state, timing = measure.time_steps(step, state, batches)
    needed = measure.memory(step)
    print(f"tracing {trace.STEPS} steps ...", flush=True)
    state = trace.record(step, state, batches, workdir / "profile")
    ran = trace.operations(workdir / "profile", step.as_text() or "", mesh.size)
    print("timing the input alone and a matrix product ...", flush=True)
    alone = measure.input_alone(batches)
    limit = devices.peak(list(mesh.devices.flat), config.model.dtype)

    flops = work.step_flops(config.batch_size)
    counted = step.cost_analysis() or {}
    result = provenance(config) | {
        "config": config.to_dict(),
        "device": {"kind": mesh.devices.flat[0].device_kind, "count": mesh.size},
        "compile": compiling,
        "step": {
            "median_seconds": timing.median,
            "p90_seconds": timing.p90,
            "films_per_second": config.batch_size / timing.median,
            "seconds": timing.seconds,
        },
        "data": {"wait_share": timing.wait_share, "input_alone_films_per_second": alone},
        "work": {
            "multiply_adds_per_film": asdict(work),
            "flops_per_step": flops,
            "xla_flops": counted.get("flops"),
            "xla_bytes_accessed": counted.get("bytes accessed"),
        },
        "speed": {
            "flops_per_second": flops / timing.median,
            "peak_flops_per_second": limit.flops,
            "peak_source": limit.source,
            "share_of_peak": flops / timing.median / limit.flops,
        },
        "memory_bytes": needed,
        "traced_steps": trace.STEPS,
        "seconds_by_direction": _by_direction(ran),
        "operations": [_row(operation) for operation in ran[:MORE]],
    }
    write_json(workdir / "profile.json", result)
    with replacing(workdir / "profile.png") as temporary:
        draw_page(result, LONGEST).savefig(temporary, format="png")
    print_page(result, LONGEST)
    shown = printable(str(workdir))
    print(f"written: {shown}/profile.json, profile.png, and in profile/ the trace")
    print(f"look at it: xprof --logdir {shown}/profile")
    return result


def prepare(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder, or checks that a profile can be put there without replacing anything.

    Raises:
        UserError: it cannot be written, has a profile, another config's run, or other files.
    """
    for name in ("profile", "profile.json", "profile.png"):
        if (workdir / name).exists():
            raise UserError(
                f"--workdir: {str(workdir)!r} already has a profile ({name}); move it away, name "
                "another folder, or leave --workdir out for a new one"
            )
    claim(workdir, config)


class _CacheHits:
    """Counts what JAX takes from its compilation cache inside a `with`."""

    count = 0

    def __enter__(self) -> "_CacheHits":
        jax.monitoring.register_event_listener(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_listener(self._listen)

    def _listen(self, event: str, **_: object) -> None:
        self.count += event == "/jax/compilation_cache/cache_hits"


def _by_direction(ran: list[trace.Operation]) -> dict[str, float]:
    sums = dict.fromkeys(("forward", "backward", "other"), 0.0)
    for operation in ran:
        sums[operation.instruction.direction] += operation.seconds
    return sums


def _row(operation: trace.Operation) -> dict[str, Any]:
    instruction = operation.instruction
    return {
        "name": operation.name,
        "seconds": operation.seconds,
        "share": operation.share,
        "calls": operation.calls,
        **asdict(instruction),
        "place": instruction.place,
    }
