"""The cases of --full: determinism, resuming after a kill, XLA flags, shares, time to a result."""

import signal
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accelerator import children
from benchmarks.accelerator.recipes import FILMS, RandomFilms, Recipe
from benchmarks.accelerator.steps import prepare_steps
from benchmarks.accelerator.training import timed_steps
from pneumojax.data import phantom_films
from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.run.history import read_lines
from pneumojax.sharding import make_mesh

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
# Each is tried alone; "" is the step without any, to compare with.
XLA_FLAGS = (
    "",
    DETERMINISTIC,
    "--xla_gpu_enable_latency_hiding_scheduler=true",
    "--xla_gpu_enable_command_buffer=",
    "--xla_gpu_autotune_level=0",
    "--xla_gpu_force_conv_nhwc=true",
    "--xla_gpu_enable_triton_gemm=false",
)


@dataclass(frozen=True)
class Determinism:
    """Whether two processes reach the same bits after 20 steps, by the XLA flags of both."""

    steps: int
    same_bits: dict[str, bool]


def measure_determinism(smoke: bool) -> Determinism:
    """Runs each of two settings twice, with a fresh compilation each time."""
    steps = 3 if smoke else 20
    recipe = children.as_arguments(Recipe("base", "bfloat16", smoke=smoke))
    same = {}
    for flags in ("", DETERMINISTIC):
        runs = [children.ask("digest", {"recipe": recipe, "steps": steps}, flags) for _ in "ab"]
        same[flags or "no flag"] = runs[0] == runs[1]
    return Determinism(steps, same)


@dataclass(frozen=True)
class Resume:
    """A training that was killed and started again, against one that was left alone.

    same_losses: whether every step of both has the same loss, to the last bit.
    """

    steps: int
    killed_after_step: int
    starts: int
    same_losses: bool


def measure_resume(smoke: bool) -> Resume:
    """Kills a training of configs/quick.py with SIGKILL after a checkpoint, and lets it go on."""
    fields: dict[str, Any] = {"epochs": 3, "checkpoint.every_steps": 2, "log.tensorboard": False}
    fields |= {"data.resident": "replicated", "train.steps_per_call": 2}
    if smoke:
        fields |= {"data.image_size": 40, "batch_size": 16}
    with tempfile.TemporaryDirectory() as scratch:
        films, killed = _write_films(Path(scratch), 120 if smoke else 640), Path(scratch) / "killed"
        arguments = {"name": "quick", "fields": fields, "films": str(films)}
        undisturbed = str(Path(scratch) / "undisturbed")
        whole = children.ask("train", arguments | {"workdir": undisturbed}, DETERMINISTIC)
        at = _kill_after_a_checkpoint(arguments | {"workdir": str(killed)}, killed)
        resumed = children.ask("train", arguments | {"workdir": str(killed)}, DETERMINISTIC)
    return Resume(whole["steps"], at, 2, whole["losses"] == resumed["losses"])


def _kill_after_a_checkpoint(arguments: dict[str, Any], workdir: Path) -> int:
    """Starts a training, kills it once it has saved, and returns the last step it had logged."""
    child = subprocess.Popen(
        children.command("train", arguments), cwd=children.ROOT,
        env=children.environment(DETERMINISTIC), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    saved = workdir / "checkpoints" / "latest"
    try:
        while child.poll() is None:
            if saved.is_dir() and any(entry.name.isdigit() for entry in saved.iterdir()):
                break
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    lines = read_lines(workdir / "metrics.jsonl")
    return max((line["step"] for line in lines if line["kind"] == "step"), default=0)


@dataclass(frozen=True)
class TimeToResult:
    """A training of the reference recipe on generated films, from its start to its last save.

    step_seconds: of all steps, without compilation, validation and saves.
    compile_seconds: in XLA's compiler, for every program of the run.
    other_seconds: the rest: reading and decoding films, tracing, validation, saves.
    """

    films: int
    steps: int
    seconds: float
    step_seconds: float
    compile_seconds: float
    other_seconds: float
    validation: dict[str, float]


def measure_time_to_result(smoke: bool) -> TimeToResult:
    """Trains `configs/reference.py` in a process of its own."""
    fields: dict[str, Any] = {"log.tensorboard": False}
    if smoke:
        fields |= {"epochs": 2, "data.image_size": 48, "augment.size": 40, "batch_size": 16}
        fields |= {"model.modules": ((4, 4, 8, 2, 4, 4),), "model.pools": (), "microbatch_size": 8}
        fields |= {"model.stem": (4, 4, 8)}
    # A tenth of the films is held out; about as many as Kermany's training set are trained on.
    count = 120 if smoke else FILMS * 10 // 9
    with tempfile.TemporaryDirectory() as scratch:
        films, workdir = _write_films(Path(scratch), count), str(Path(scratch) / "run")
        arguments = {"name": "reference", "fields": fields, "films": str(films)}
        found = children.ask("train", arguments | {"workdir": workdir})
    other = found["seconds"] - found["step_seconds"] - found["compile_seconds"]
    return TimeToResult(
        films=count,
        steps=found["steps"],
        seconds=found["seconds"],
        step_seconds=found["step_seconds"],
        compile_seconds=found["compile_seconds"],
        other_seconds=other,
        validation=found["last_epoch"],
    )


def _write_films(scratch: Path, count: int) -> Path:
    """Draws films in the layout of the published set, a third of them normal."""
    films = scratch / "films"
    parts = {"none": count // 3, "bacteria": count // 3, "virus": count - 2 * (count // 3)}
    phantom_films.write_films(films, train=parts, test={})
    return films


@dataclass(frozen=True)
class Augmentation:
    """Steps of the shipped config, with its augmentation and optimizer, and without augmentation.

    share: the part of a step that augmentation takes.
    """

    with_seconds: float
    without_seconds: float
    share: float


def measure_augmentation(recipe: Recipe) -> Augmentation:
    """Times both by turns, three times each."""
    augmented, plain = recipe.shipped_config(), recipe.shipped_config()
    size = plain.augment.size or plain.data.image_size
    plain.augment = recipe.config().augment
    plain.data.image_size = size
    prepared = [
        prepare_steps(config, RandomFilms.of(config, recipe.films), make_mesh())
        for config in (augmented, plain)
    ]
    times: list[list[float]] = [[], []]
    for _ in range(1 if recipe.smoke else 3):
        for steps, seconds in zip(prepared, times, strict=True):
            seconds += timed_steps(steps, smoke=recipe.smoke)
    with_it, without = map(statistics.median, times)
    return Augmentation(with_it, without, 1 - without / with_it)


@dataclass(frozen=True)
class Streaming:
    """A step whose films come from the host, against one whose films lie on the device.

    skipped: why there is no measurement; "" if there is one.
    """

    skipped: str
    streamed_seconds: float | None = None
    resident_seconds: float | None = None


def measure_streaming(recipe: Recipe) -> Streaming:
    """Times both; the stream is tf.data's, without which there is none."""
    try:
        tensorflow()  # until it is imported, a stream does not read ahead
    except ImportError as error:
        return Streaming(f"films are streamed by TensorFlow, and {error}")
    config = recipe.config()
    films, found = RandomFilms.of(config, recipe.films), {}
    for resident in ("off", "replicated"):
        config.data.resident = resident
        steps = prepare_steps(config, films, make_mesh())
        found[resident] = statistics.median(timed_steps(steps, smoke=recipe.smoke))
    return Streaming("", found["off"], found["replicated"])


@dataclass(frozen=True)
class FlagTime:
    """The step under one XLA flag; "" is none. Compare with the case of no flag."""

    flag: str
    median_seconds: float
    compile_seconds: float


def measure_flag(flag: str, smoke: bool) -> FlagTime:
    """Times the step of base in a process of its own."""
    recipe = Recipe("base", "bfloat16", steps_per_call=1 if smoke else 16, smoke=smoke)
    found = children.ask("step_time", {"recipe": children.as_arguments(recipe)}, flag)
    return FlagTime(flag, found["median_seconds"], found["compile_seconds"])
