"""Part d: our training step and PyTorch's, by turns on the same card."""

import gc
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from ml_collections import ConfigDict

from benchmarks.accelerator.recipes import RandomFilms, Recipe
from benchmarks.accelerator.steps import prepare_steps
from pneumojax.sharding import make_mesh

# variant -> the mode of torch.compile; eager is not compiled
_MODES = {"compile": "default", "max-autotune": "max-autotune", "cuda-graphs": "reduce-overhead"}
VARIANTS = ("eager", "compile")
MORE_VARIANTS = ("max-autotune", "cuda-graphs")
_ROUNDS = 7


@dataclass(frozen=True)
class Contestant:
    """One side of the contest.

    seconds: of a step, the mean over a block of steps, once for each round.
    prepare_seconds: until the first block has run, compilation included.
    error: why there are no seconds; "" if there are.
    """

    seconds: list[float]
    median_seconds: float | None
    prepare_seconds: float
    error: str


@dataclass(frozen=True)
class Contest:
    """Steps of one recipe, ours in `Recipe.steps_per_call` a call, theirs called one by one.

    skipped: why there was no contest; "" if there was.
    ratios: by variant, the time of PyTorch's step over that of ours; above 1 ours is faster.
    """

    skipped: str
    steps_in_block: int
    contestants: dict[str, Contestant]
    ratios: dict[str, float]


def measure_contest(recipe: Recipe, variants: tuple[str, ...]) -> Contest:
    """Runs blocks of steps by turns, each waited for at its end; films lie on the card for both."""
    if reason := _cannot_run(recipe):
        print(f"PyTorch is left out: {reason}")
        return Contest(reason, 0, {}, {})
    config, block = recipe.config(), recipe.steps_per_call
    films = RandomFilms.of(config, recipe.films)
    steps = prepare_steps(config, films, make_mesh())
    runs: dict[str, Callable[[], Any]] = {"ours": lambda: jax.block_until_ready(steps.call())}
    found, errors = {}, {}
    for variant in variants:
        runs[variant] = _torch_block(config, films, recipe.precision, variant, block)
    for name, run in list(runs.items()):
        try:
            found[name] = _seconds(run)
        # torch.compile needs a C compiler and Triton, and may fail in either.
        except Exception as error:
            traceback.print_exc()
            found[name], errors[name] = 0.0, f"{type(error).__name__}: {str(error)[:200]}"
            del runs[name]
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(2 if recipe.smoke else _ROUNDS):
        for name, run in runs.items():
            seconds[name].append(_seconds(run) / block)
    contestants = {
        name: Contestant(
            times, statistics.median(times) if times else None, found[name], errors.get(name, "")
        )
        for name, times in seconds.items()
    }
    ours = contestants["ours"].median_seconds
    ratios = {
        name: contestant.median_seconds / ours
        for name, contestant in contestants.items()
        if name != "ours" and contestant.median_seconds and ours
    }
    runs.clear()
    _free_torch()
    return Contest("", block, contestants, ratios)


def _cannot_run(recipe: Recipe) -> str:
    """Why PyTorch cannot do the same work here; "" if it can."""
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    if jax.default_backend() == "gpu" and not torch.cuda.is_available():
        return "this build of torch sees no GPU"
    if jax.device_count() > 1:
        return "the contest is of one device"
    if recipe.network != "inception_v3":
        return ""
    if recipe.smoke:
        return "torchvision has no smaller Inception-v3"
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:  # a RuntimeError beside another build of torch
        return f"torchvision cannot be imported: {error}"
    return ""


def _torch_block(
    config: ConfigDict, films: RandomFilms, precision: str, variant: str, block: int
) -> Callable[[], None]:
    """A function that takes `block` steps of Adam in PyTorch; its first call prepares them too."""
    import torch

    from benchmarks.accelerator import torch_networks as networks

    prepared: list[Callable[[], None]] = []

    def prepare() -> Callable[[], None]:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        exact = precision == "float32"
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = not exact, True
        torch.manual_seed(0)
        network = networks.make_torch_network(config)
        network = network.to(device, memory_format=torch.channels_last).train()
        is_compiled = variant in _MODES
        forward = torch.compile(network, mode=_MODES[variant]) if is_compiled else network
        optimizer = torch.optim.Adam(
            network.parameters(), config.optimizer.learning_rate, eps=config.optimizer.epsilon,
            fused=device.type == "cuda",
        )  # fmt: skip
        images = torch.from_numpy(films.images).to(device)
        labels = torch.from_numpy(films.labels).to(device).float()
        rows = torch.randint(len(films), (block, config.batch_size), device=device)
        model, weights = config.model, config.loss.auxiliary_weights

        def step(rows: torch.Tensor) -> None:
            x = networks.network_input(images[rows], config.data.normalise, model.channels)
            x = x.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = forward(x)
            wide = {name: head.float() for name, head in logits.items()}
            networks.torch_loss(wide, labels[rows], weights).backward()
            optimizer.step()

        def run() -> None:
            for of_step in rows:
                step(of_step)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return run

    def run() -> None:
        if not prepared:
            prepared.append(prepare())
        prepared[0]()

    return run


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _free_torch() -> None:
    """Gives PyTorch's memory back to the card, for the cases that follow."""
    import torch

    gc.collect()
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
