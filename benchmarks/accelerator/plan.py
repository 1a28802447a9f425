"""The cases of a run in order of worth: what each measures and the time it is expected to take."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from benchmarks.accelerator import extras, torch_contest
from benchmarks.accelerator.ceilings import Ceilings, measure_ceilings
from benchmarks.accelerator.correctness import measure_correctness
from benchmarks.accelerator.inference import measure_inference
from benchmarks.accelerator.profiles import profile_steps
from benchmarks.accelerator.recipes import Recipe
from benchmarks.accelerator.record import Record
from benchmarks.accelerator.scaling import measure_scaling
from benchmarks.accelerator.training import measure_training

CEILINGS = "ceilings"
_IN_CALL = 16  # steps of the longer calls


@dataclass(frozen=True)
class Case:
    """One measurement.

    name: its key in the record, which begins with the part: "training/base/bfloat16/16".
    seconds: the time to allow for it, compilation included. It is a guess: a case that would not
        end within --minutes by this guess is left out.
    run: measures it and returns a dataclass.
    """

    name: str
    seconds: float
    run: Callable[[], Any]

    @property
    def part(self) -> str:
        return self.name.split("/")[0]


def cases(record: Record, *, smoke: bool, full: bool) -> list[Case]:
    """All cases of a run; results that others build on are read from the record when they run.

    A job of several processes measures only how it scales: the other cases are of one process.
    """
    scaling = _case("scaling/base/bfloat16", 30, measure_scaling, smoke)
    if jax.process_count() > 1:
        return [scaling]
    planned = [Case(CEILINGS, 15, lambda: measure_ceilings(smoke=smoke))]
    networks = ("base",) if smoke else ("base", "inception_v3", "reference")
    precisions = ("bfloat16",) if smoke else ("bfloat16", "tf32")
    for network in networks:
        slow = 3 if network == "inception_v3" else 1
        planned.append(_correctness("reference" if smoke else network, 10 * slow, smoke))
        for precision in precisions:
            for steps in (1, _IN_CALL):
                recipe = Recipe(network, precision, steps_per_call=steps, smoke=smoke)
                planned.append(_training(record, recipe, 10 * slow))
        for precision in precisions:
            recipe = Recipe(network, precision, steps_per_call=_IN_CALL, smoke=smoke)
            planned.append(_torch(recipe, torch_contest.VARIANTS, 15 * slow))
    for network in networks:
        recipe = Recipe(network, "bfloat16", smoke=smoke)
        planned.append(_case(f"inference/{network}/bfloat16", 10, measure_inference, recipe))
    for network in networks[:2]:
        planned.append(_profile(record.path, Recipe(network, "bfloat16", smoke=smoke)))
    if not smoke:
        planned.append(_correctness("two_heads", 10, smoke))
    if jax.device_count() > 1:
        planned.append(scaling)
    return planned + (_full(record, smoke) if full else [])


def _full(record: Record, smoke: bool) -> list[Case]:
    """The cases that --full adds."""
    planned = [_case("determinism/base/bfloat16", 20, extras.measure_determinism, smoke)]
    planned.append(_case("resume/quick", 60, extras.measure_resume, smoke))
    planned.append(_case("time_to_result/reference", 150, extras.measure_time_to_result, smoke))
    for network in ("reference",) if smoke else ("reference", "inception_v3"):
        recipe = Recipe(network, "bfloat16", steps_per_call=_IN_CALL, smoke=smoke)
        planned.append(_case(f"augmentation/{network}", 60, extras.measure_augmentation, recipe))
    streamed = Recipe("base", "bfloat16", smoke=smoke)
    planned.append(_case("streaming/base/bfloat16", 20, extras.measure_streaming, streamed))
    batches = {"base": (8,)} if smoke else {"base": (16, 128, 256), "inception_v3": (32, 256)}
    for network, sizes in batches.items():
        for batch in sizes:
            recipe = Recipe(network, "bfloat16", batch, _IN_CALL, smoke)
            planned.append(_training(record, recipe, 20))
    for network in ("base",) if smoke else ("base", "reference", "inception_v3"):
        recipe = Recipe(network, "float32", steps_per_call=_IN_CALL, smoke=smoke)
        planned.append(_training(record, recipe, 25))
    for network in ("base",) if smoke else ("base", "inception_v3"):
        recipe = Recipe(network, "bfloat16", steps_per_call=_IN_CALL, smoke=smoke)
        planned.append(_torch(recipe, torch_contest.MORE_VARIANTS, 240, "more"))
    for flag in extras.XLA_FLAGS[: 1 if smoke else None]:
        name = f"xla_flags/base/{flag.lstrip('-') or 'none'}"
        planned.append(_case(name, 40, extras.measure_flag, flag, smoke))
    return planned


def _case(name: str, seconds: float, measure: Callable[..., Any], *arguments: Any) -> Case:
    return Case(name, seconds, lambda: measure(*arguments))


def _correctness(network: str, seconds: float, smoke: bool) -> Case:
    return Case(
        f"correctness/{network}", seconds, lambda: measure_correctness(network, smoke=smoke)
    )


def _training(record: Record, recipe: Recipe, seconds: float) -> Case:
    def run() -> Any:
        ceilings = record.result(CEILINGS)
        if ceilings is None:
            raise RuntimeError("the ceilings have not been measured")
        return measure_training(recipe, Ceilings(**ceilings))

    batch = f"/batch-{recipe.batch}" if recipe.batch else ""
    name = f"training/{recipe.network}/{recipe.precision}/{recipe.steps_per_call}{batch}"
    return Case(name, seconds, run)


def _torch(recipe: Recipe, variants: tuple[str, ...], seconds: float, suffix: str = "") -> Case:
    name = f"pytorch/{recipe.network}/{recipe.precision}" + f"/{suffix}" * bool(suffix)
    return Case(name, seconds, lambda: torch_contest.measure_contest(recipe, variants))


def _profile(record: Path, recipe: Recipe) -> Case:
    path = record.with_name(f"{record.stem}-{recipe.network}.trace.json.gz")
    return Case(f"profile/{recipe.network}/bfloat16", 10, lambda: profile_steps(recipe, path))
