"""One line for each finished case, for the terminal."""

from collections.abc import Callable
from typing import Any


def line_of(part: str, result: Any) -> str:
    """The main figures of a result of this part."""
    return _LINES[part](result)


def _ceilings(found: Any) -> str:
    rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in found.flops_per_second.items())
    return f"copy {found.bytes_per_second / 1e9:,.4g} GB/s; products, TFLOP/s: {rates}"


def _correctness(found: Any) -> str:
    errors = (f"{p} {e.gradient_error:.1e} ({e.gradient})" for p, e in found.errors.items())
    return "largest relative error of a gradient: " + ", ".join(errors)


def _training(found: Any) -> str:
    return (
        f"{1e3 * found.median_seconds:.4g} ms a step (p90 {1e3 * found.p90_seconds:.4g}), "
        f"{found.films_per_second:,.0f} films/s, {found.flops_per_second / 1e12:.3g} TFLOP/s, "
        f"{found.share_of_ceiling:.0%} of the ceiling, {found.share_of_roofline:.0%} of the "
        f"roofline, compiled in {found.compile_seconds:.0f} s"
    )


def _pytorch(found: Any) -> str:
    if found.skipped:
        return f"left out: {found.skipped}"
    ratios = (f"{name} {ratio:.2f}" for name, ratio in found.ratios.items())
    ours = found.contestants["ours"].median_seconds
    failed = (f"{n} failed" for n, contestant in found.contestants.items() if contestant.error)
    return f"ours {1e3 * ours:.4g} ms a step; times as long: " + ", ".join([*ratios, *failed])


def _inference(found: Any) -> str:
    rates = ", ".join(f"{rate:,.0f} at {size}" for size, rate in found.films_per_second.items())
    return f"films/s: {rates}; one film in {1e3 * found.latency_seconds:.3g} ms"


def _profile(found: Any) -> str:
    first = found.kernels[0] if found.kernels else None
    longest = f"longest kernel {first.name} ({first.share:.0%})" if first else "no kernels"
    return f"{longest}; trace in {found.trace}"


def _scaling(found: Any) -> str:
    def points(rows: Any) -> str:
        return ", ".join(f"{row.efficiency:.0%} on {row.devices}" for row in rows)

    return f"efficiency, weak: {points(found.weak)}; strong: {points(found.strong)}"


def _streaming(found: Any) -> str:
    if found.skipped:
        return f"left out: {found.skipped}"
    streamed, resident = 1e3 * found.streamed_seconds, 1e3 * found.resident_seconds
    return f"{streamed:.4g} ms a step from the host, {resident:.4g} on the device"


_LINES: dict[str, Callable[[Any], str]] = {
    "ceilings": _ceilings,
    "correctness": _correctness,
    "training": _training,
    "pytorch": _pytorch,
    "inference": _inference,
    "profile": _profile,
    "scaling": _scaling,
    "streaming": _streaming,
    "determinism": lambda found: f"same bits after {found.steps} steps: {found.same_bits}",
    "resume": lambda found: f"same losses after a kill: {found.same_losses}",
    "augmentation": lambda found: f"{found.share:.0%} of a step of the shipped config",
    "xla_flags": lambda found: f"{1e3 * found.median_seconds:.4g} ms a step",
    "time_to_result": lambda found: (
        f"{found.steps:,} steps in {found.step_seconds:.1f} s, compiling "
        f"{found.compile_seconds:.1f} s, all else {found.other_seconds:.1f} s"
    ),
}
