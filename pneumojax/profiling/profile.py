"""`profile`: measures where time and memory of a config's training step go, on this machine."""

import time
from dataclasses import replace
from pathlib import Path

import jax
from ml_collections import ConfigDict

from pneumojax.data.pipeline import BatchOrder, films_per_epoch
from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.files import printable, replacing, write_json
from pneumojax.inference.network import make_network
from pneumojax.profiling import devices, measure, trace
from pneumojax.profiling.measure import Profile
from pneumojax.profiling.page import draw_page, print_page
from pneumojax.profiling.work import count_work
from pneumojax.run.begin import claim
from pneumojax.run.provenance import provenance
from pneumojax.sharding import make_mesh, on_all_devices, replicated
from pneumojax.training.calls import CompiledCalls, make_input
from pneumojax.training.compiling import Held
from pneumojax.training.distillation import open_teachers
from pneumojax.training.losses import class_factors
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.setup import check_batch, check_training
from pneumojax.training.state import initial_state
from pneumojax.training.step import make_train_step, run_numbers


def profile(
    config: ConfigDict, workdir: Path, cache_dir: Path, *, verify_films: bool = False
) -> Profile:
    """Profiles the step that `train` would run, on its films, from fresh parameters.

    Writes profile.json, profile.png and profile/ (the trace) into `workdir` and touches nothing
    else there.

    Args:
        config: resolved and locked.
        workdir: a folder that does not exist, is empty, or holds a run of the same config.
        cache_dir: for decoded films and compiled steps.
        verify_films: hash every film again before trusting the cache.

    Raises:
        UserError: in one line what is wrong with config, films or folder.
    """
    prepare(workdir, config)
    found = _measure(config, workdir, cache_dir, verify_films)
    write_json(workdir / "profile.json", found.to_json())
    with replacing(workdir / "profile.png") as temporary:
        draw_page(found).savefig(temporary, format="png")
    print_page(found)
    shown = printable(str(workdir))
    print(f"written: {shown}/profile.json, profile.png, and the trace in profile/")
    print(f"look at it: xprof --logdir {shown}/profile")
    return found


def prepare(workdir: Path, config: ConfigDict) -> None:
    """Makes the folder, or checks that a profile can be put there without replacing anything."""
    for name in ("profile", "profile.json", "profile.png"):
        if (workdir / name).exists():
            raise UserError(
                f"{str(workdir)!r} already has a profile ({name}); move it away, name another "
                "folder, or leave the flag out for a new one",
                flag="workdir",
            )
    claim(workdir, config)


def _measure(config: ConfigDict, workdir: Path, cache_dir: Path, verify_films: bool) -> Profile:
    mesh = make_mesh()
    check_training(config, mesh)
    network = make_network(config)
    splits = load_splits(config, cache_dir, verify=verify_films)
    films, teachers = splits.train, open_teachers(config, splits)
    order = BatchOrder(films.labels, config.batch_size, config.seed, config.data.balanced)
    if note := check_batch(config, mesh, films_per_epoch(films.labels, config.data.balanced)):
        print(note)
    per_epoch = order.steps_per_epoch
    optimizer = make_optimizer(config, per_epoch)
    work = count_work(network, config.augment.size or config.data.image_size)

    # Without this, the cache's keys leave out source lines, and a step that was compiled from
    # older code would report the lines of that code.
    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
    begin = jax.jit(lambda: initial_state(config, optimizer), out_shardings=replicated(mesh))
    state = begin()
    numbers = run_numbers(config, per_epoch, class_factors(films.labels, config.loss.class_weights))
    held = Held(teachers=teachers.params, numbers=on_all_devices(numbers, mesh))
    source = make_input(films, order, config, mesh, 0, held)
    steps_per_call = source.calls.steps_per_call
    with measure.cache_hits() as hits:
        began = time.perf_counter()
        train_step = make_train_step(config, network, optimizer, per_epoch, mesh, teachers)
        train_step = replace(train_step, recipe=None)  # a stored program names no source lines
        step = CompiledCalls(train_step, state, config, mesh, source, last_step=steps_per_call)
        compile_seconds = time.perf_counter() - began

    batches = source.full_batches
    print("timing steps ...", flush=True)
    state, timing = measure.time_steps(step, state, batches)
    memory = measure.memory(step.longest)
    print(f"tracing {trace.CALLS * steps_per_call} steps ...", flush=True)
    state = trace.record(step, state, batches, workdir / "profile")
    program, times = step.longest.as_text() or "", steps_per_call * mesh.size
    operations = trace.operations(workdir / "profile", program, times)
    print("timing the input alone and a matrix product ...", flush=True)
    counted = step.longest.cost_analysis() or {}
    return Profile(
        config=config,
        provenance=provenance(config),
        device=mesh.devices.flat[0].device_kind,
        devices=mesh.size,
        steps_per_call=steps_per_call,
        compile_seconds=compile_seconds,
        compile_from_cache=bool(hits),
        timing=timing,
        input_alone=measure.input_alone(batches),
        work=work,
        xla_flops=counted.get("flops"),
        xla_bytes=counted.get("bytes accessed"),
        peak=devices.peak(list(mesh.devices.flat), config.model.dtype),
        memory=memory,
        operations=operations,
    )
