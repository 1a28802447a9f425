"""The tables of what `python -m benchmarks.accelerator` measured, one set for each card."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools.docs.marks import percent, table
from tools.docs.places import RECORDS

STORED = RECORDS / "accelerator"
NONE = "**No record of a GPU exists yet.**\n"
Results = dict[str, Any]  # by the rest of a case's name, such as "base/bfloat16/16"


def rendered() -> str:
    """Renders every stored record; those of smoke runs measure nothing and are left out."""
    paths = sorted(path for path in STORED.glob("*.json") if not path.stem.endswith("-smoke"))
    return "\n".join(render(path) for path in paths) or NONE


def render(path: Path) -> str:
    """Renders one record, with a table for each part that has results."""
    record = json.loads(path.read_text())
    who, cases = record["identity"], record["cases"]
    driver = f", driver {who['driver']}" if who["driver"] else ""
    torch = f", PyTorch {who['torch']}" if who["torch"] else ""
    text = (
        f"### {who['card']}\n\n{who['devices']} x {who['card']}{driver}, JAX {who['jax']}{torch}, "
    )
    text += f"Python {who['python']}; host: {who['host']}. "
    text += f"[JSON](../records/accelerator/{path.name}).\n"
    for part, render_part in _PARTS.items():
        found = {
            name.partition("/")[2]: case["result"]
            for name, case in cases.items()
            if name.split("/")[0] == part and "result" in case
        }
        text += f"\n{render_part(found)}" if found else ""
    failed = [f"`{name}`: {case['error']}" for name, case in cases.items() if "error" in case]
    if failed:
        text += f"\nFailed: {'; '.join(failed)}.\n"
    if record["missing"]:
        text += f"\nNot measured: {', '.join(record['missing'])}.\n"
    return text


def _ceilings(found: Results) -> str:
    (ceilings,) = found.values()
    rates = ceilings["flops_per_second"]
    header = ("copy, GB/s", *(f"{name} product, TFLOP/s" for name in rates))
    row = [f"{ceilings['bytes_per_second'] / 1e9:,.0f}"]
    return table(header, [row + [f"{rate / 1e12:,.4g}" for rate in rates.values()]])


def _correctness(found: Results) -> str:
    rows = [
        [name, precision, *_errors(errors)]
        for name, result in found.items()
        for precision, errors in result["errors"].items()
    ]
    header = ("network", "precision", "loss", "largest of a gradient", "tensor")
    return "Relative errors against float64:\n\n" + table(header, rows)


def _errors(errors: dict[str, Any]) -> list[str]:
    loss, largest = errors["by_tensor"]["loss"], errors["gradient_error"]
    return [f"{loss:.1e}", f"{largest:.1e}", errors["gradient"]]


def _training(found: Results) -> str:
    header = ("step", "films", "ms", "p90", "films/s", "TFLOP/s", "of ceiling", "of roofline")
    return table((*header, "compile, s"), [[name, *_step(row)] for name, row in found.items()])


def _step(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['films']}",
        f"{1e3 * row['median_seconds']:.4g}",
        f"{1e3 * row['p90_seconds']:.4g}",
        f"{row['films_per_second']:,.0f}",
        f"{row['flops_per_second'] / 1e12:.3g}",
        percent(row["share_of_ceiling"]),
        percent(row["share_of_roofline"]),
        "cached" if row["compiled_from_cache"] else f"{row['compile_seconds']:.0f}",
    ]


def _pytorch(found: Results) -> str:
    rows = []
    for name, contest in found.items():
        if contest["skipped"]:
            rows.append([name, contest["skipped"]])
        for who, one in contest["contestants"].items():
            median, ratio = one["median_seconds"], contest["ratios"].get(who)
            shown = f"{1e3 * median:.4g}" if median else one["error"]
            rows.append([name, who, shown, f"{ratio:.2f}" if ratio else ""])
    return table(("step", "by", "ms", "times as long as ours"), rows)


def _inference(found: Results) -> str:
    rows = []
    for name, one in found.items():
        rates = ", ".join(f"{rate:,.0f} at {n}" for n, rate in one["films_per_second"].items())
        rows.append([name, rates, f"{1e3 * one['latency_seconds']:.3g}"])
    return table(("inference", "films/s at batch", "one film, ms"), rows)


def _profile(found: Results) -> str:
    rows = [
        [name, f"`{kernel['name'][:60]}`", f"{kernel['calls']}", percent(kernel["share"], 1)]
        for name, profile in found.items()
        for kernel in profile["kernels"]
    ]
    return table(("profile", "kernel", "calls", "share"), rows)


def _scaling(found: Results) -> str:
    rows = [
        [name, kind, *_scaling_point(point)]
        for name, scaling in found.items()
        for kind in ("weak", "strong")
        for point in scaling[kind]
    ]
    return table(("scaling", "kind", "devices", "films", "films/s", "efficiency"), rows)


def _scaling_point(point: dict[str, Any]) -> list[str]:
    counts = [f"{point['devices']}", f"{point['films']}", f"{point['films_per_second']:,.0f}"]
    return [*counts, percent(point["efficiency"])]


def _others(title: str) -> Callable[[Results], str]:
    """A table of plain figures by name, for parts of few figures."""

    def render_part(found: Results) -> str:
        return table(
            (title, "figures"), [[name, ", ".join(_plain(r))] for name, r in found.items()]
        )

    return render_part


def _plain(result: dict[str, Any]) -> Iterator[str]:
    for name, value in result.items():
        if isinstance(value, dict):
            yield from _plain(value)
        elif value not in ("", None):
            shown = f"{value:.4g}" if isinstance(value, float) else f"{value}"
            yield f"{name.replace('_', ' ')} {shown}"


_PARTS: dict[str, Callable[[Results], str]] = {
    "ceilings": _ceilings,
    "correctness": _correctness,
    "training": _training,
    "pytorch": _pytorch,
    "inference": _inference,
    "profile": _profile,
    "scaling": _scaling,
    "determinism": _others("determinism"),
    "resume": _others("resume"),
    "augmentation": _others("augmentation"),
    "streaming": _others("streaming"),
    "xla_flags": _others("XLA flag"),
    "time_to_result": _others("time to result"),
}
