"""What bounds each layer of the seed network, arithmetic or memory, on an H100 and on this CPU.

Command:   python -m benchmarks.roofline --measure --write
--measure times a matrix product and memory on this machine and stores records/performance/roofline.json; --write
renders that file into docs/performance.md and draws docs/images/roofline.png.
The model is Williams et al. 2009 (doi 10.1145/1498765.1498785): a layer takes the longer of its
operations at the peak and its bytes at the memory's bandwidth. Each tensor is read or written once.
"""

import argparse
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from PIL import Image

from benchmarks.hardware import hardware
from configs import base
from pneumojax.files import write_json
from pneumojax.profiling import devices
from pneumojax.profiling.page import INK, MUTED, RULE
from tools.docs.marks import PAGE, placed

ROOT = Path(__file__).resolve().parents[1]

STORED = ROOT / "records" / "performance" / "roofline.json"
PICTURE = ROOT / "docs" / "images" / "roofline.png"
BATCHES = (64, 256)
PASSES = ("forward", "backward")
FLOAT32 = 4  # bytes; parameters and their gradients are always float32


@dataclass(frozen=True)
class Layer:
    """One layer, counted in scalars of one film.

    Args:
        operations: forward; a multiply-add is two, a comparison or addition of a pool one.
        inputs, outputs: activations.
        weights: kernel and bias.
        gradients: products as large as the forward one that backward takes: 2, or 1 in the first
            layer, whose input needs no gradient. Pools pass on as many operations as they took.
        saved: activations kept for backward and read there.
    """

    name: str
    operations: int
    inputs: int
    outputs: int
    weights: int = 0
    gradients: int = 2
    saved: int = 0

    def flops(self, direction: str, batch: int) -> int:
        """Floating-point operations of one pass over a batch."""
        return batch * self.operations * (1 if direction == "forward" else self.gradients)

    def bytes(self, direction: str, batch: int, size: int) -> int:
        """Bytes of one pass over a batch, activations being of `size` bytes."""
        weights = self.weights * FLOAT32
        if direction == "forward":
            return batch * size * (self.inputs + self.outputs) + weights
        passed_on = self.inputs if self.gradients > 1 or not self.weights else 0
        return batch * size * (self.outputs + self.saved + passed_on) + 2 * weights


def _convolution(
    name: str, area: int, window: tuple[int, int], widths: tuple[int, int], area_in: int = 0
) -> Layer:
    """With bias and ReLU, which are fused into it; `area` are positions of the output."""
    rows, columns = window
    kernel = rows * columns * widths[0] * widths[1]
    inputs, outputs = (area_in or area) * widths[0], area * widths[1]
    operations = 2 * kernel * area
    return Layer(
        name, operations, inputs, outputs, kernel + widths[1], saved=inputs + outputs,
        gradients=1 if name == "stem1" else 2,
    )  # fmt: skip


def _dense(name: str, inputs: int, outputs: int) -> Layer:
    weights = inputs * outputs
    return Layer(name, 2 * weights, inputs, outputs, weights + outputs, saved=inputs + outputs)


def _pool(name: str, inputs: int, outputs: int, window: int, saved: int) -> Layer:
    return Layer(name, outputs * window, inputs, outputs, gradients=1, saved=saved)


def layers(config: ConfigDict) -> Iterator[Layer]:
    """The layers of a config's network with the auxiliary head alone, in order."""
    model, side = config.model, config.data.image_size
    sides = [side, (side - 3) // 2 + 1, (side - 3) // 2 - 1]
    areas = [each**2 for each in sides]
    stem = model.stem
    yield _convolution("stem1", areas[1], (3, 3), (model.channels, stem[0]), areas[0])
    yield _convolution("stem2", areas[2], (3, 3), (stem[0], stem[1]), areas[1])
    yield _convolution("stem3", areas[2], (3, 3), (stem[1], stem[2]))
    grid = (sides[2] - 3) // 2 + 1
    area, features = grid**2, stem[2]
    before, after = areas[2] * features, area * features
    yield _pool("pool", before, after, 9, saved=before)
    for i, (f1, f2_in, f2_out, f3_in, f3_out, f4) in enumerate(model.modules):
        name = f"modules.{i}"
        yield _convolution(f"{name}.branch1", area, (1, 1), (features, f1))
        yield _convolution(f"{name}.branch3_narrow", area, (1, 1), (features, f2_in))
        yield _convolution(f"{name}.branch3_column", area, (3, 1), (f2_in, f2_out))
        yield _convolution(f"{name}.branch3_row", area, (1, 3), (f2_out, f2_out))
        yield _convolution(f"{name}.branch5_narrow", area, (1, 1), (features, f3_in))
        yield _convolution(f"{name}.branch5_column", area, (5, 1), (f3_in, f3_out))
        yield _convolution(f"{name}.branch5_row", area, (1, 5), (f3_out, f3_out))
        around = area * features
        yield _pool(f"{name}.max_pool", around, around, 9, saved=around)
        yield _convolution(f"{name}.branch_pool", area, (1, 1), (features, f4))
        features = f1 + f2_out + f3_out + f4
    pooled = ((grid - 5) // 3 + 1) ** 2
    yield _pool("average_pool", area * features, pooled * features, 25, saved=0)
    yield _convolution("auxiliary_head.narrow", pooled, (1, 1), (features, 64))
    yield _dense("auxiliary_head.hidden", pooled * 64, 128)
    yield _dense("auxiliary_head.logit", 128, 1)


def limits(cpu: Mapping[str, Any]) -> dict[str, tuple[float, float, int]]:
    """{name: (FLOP/s, bytes/s, bytes of an activation)}."""
    h100 = devices.H100_SXM
    return {
        "H100 float32": (devices.H100_SXM_PLAIN_FLOAT32, h100.bandwidth, 4),
        "H100 TF32": (h100.peaks["float32"][0], h100.bandwidth, 4),
        "H100 bfloat16": (h100.peaks["bfloat16"][0], h100.bandwidth, 2),
        "this CPU": (cpu["peak_flops_per_second"], cpu["bytes_per_second"], 4),
    }


def measure() -> dict[str, Any]:
    """This machine's peak and bandwidth."""
    return {
        "hardware": hardware(),
        "jax": jax.__version__,
        "peak_flops_per_second": devices.measured_peak("float32"),
        "bytes_per_second": devices.measured_bandwidth(),
    }


def roofline(cpu: Mapping[str, Any]) -> dict[str, Any]:
    """Every layer at every batch, forward and backward, under every limit.

    `bytes` and `intensity` are of four bytes a value. `seconds` is the least that the layer can
    take, and `bound` what makes it so: "memory" or "compute".
    """
    found: dict[str, Any] = {}
    for batch in BATCHES:
        rows = []
        for layer in layers(base.get_config()):
            row: dict[str, Any] = {"layer": layer.name}
            for direction in PASSES:
                flops = layer.flops(direction, batch)
                traffic = layer.bytes(direction, batch, FLOAT32)
                entry = {"flops": flops, "bytes": traffic, "intensity": flops / traffic}
                entry["bound"], entry["seconds"] = {}, {}
                for name, (peak, bandwidth, size) in limits(cpu).items():
                    times = {
                        "compute": flops / peak,
                        "memory": layer.bytes(direction, batch, size) / bandwidth,
                    }
                    entry["bound"][name] = max(times, key=lambda key: times[key])
                    entry["seconds"][name] = max(times.values())
                row[direction] = entry
            rows.append(row)
        found[str(batch)] = rows
    known = {
        name: {"flops_per_second": peak, "bytes_per_second": bandwidth, "bytes_per_value": size}
        for name, (peak, bandwidth, size) in limits(cpu).items()
    }
    source = {"h100": devices.H100_SXM.source, "limits": known}
    return {"command": "python -m benchmarks.roofline --measure --write", "cpu": dict(cpu)} | (
        source | {"batches": found}
    )


def render(stored: Mapping[str, Any]) -> str:
    """Markdown: the limits, the sums of a step, and a table of layers for each batch."""
    cpu, lines = stored["cpu"], []
    lines += [
        f"This CPU: {cpu['hardware']}, JAX {cpu['jax']}. H100: an SXM5 with 80 GB, from the "
        f"{stored['h100']}. The least that a step of 64 and of 256 films can take, the share of "
        "it in layers that memory bounds, and what that makes of films and of the peak:",
        "",
        "| limit | TFLOP/s | GB/s | balance, FLOP/byte | step of 64 | step of 256 "
        "| memory-bound | films/s at most | share of peak at most |",
        "| --- |" + " --- |" * 8,
    ]
    for name, limit in stored["limits"].items():
        peak, bandwidth = limit["flops_per_second"], limit["bytes_per_second"]
        steps = [step_seconds(rows, name) for rows in stored["batches"].values()]
        total, memory = steps[0]
        rows = stored["batches"]["64"]
        flops = sum(row[direction]["flops"] for row in rows for direction in PASSES)
        share = f"{memory / total:.0%} | {64 / total:,.0f} | {flops / total / peak:.0%}"
        lines.append(
            f"| {name} | {peak / 1e12:.3g} | {bandwidth / 1e9:,.0f} | {peak / bandwidth:.1f} | "
            + " | ".join(_seconds(total) for total, _ in steps)
            + f" | {share.replace('%', ' %')} |"
        )
    for batch, rows in stored["batches"].items():
        lines += [
            "",
            f"Batch {batch}, forward / backward, four bytes a value:",
            "",
            "| layer | GFLOP | MB | FLOP/byte | " + " | ".join(stored["limits"]) + " |",
            "| --- | --- | --- | --- |" + " --- |" * len(stored["limits"]),
        ]
        lines += [_row(row, list(stored["limits"])) for row in rows]
    return "\n".join(lines) + "\n"


def render_peaks() -> str:
    """Markdown: the devices whose peaks are known."""
    names: dict[devices.Device, list[str]] = {}
    for kind, device in devices.KNOWN.items():
        names.setdefault(device, []).append(f"`{kind}`")
    lines = [
        "| device | as JAX names it | float32, TFLOP/s | bfloat16, TFLOP/s | GB/s | from |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for device, kinds in names.items():
        cells = []
        for dtype in ("float32", "bfloat16"):
            flops, unit = device.peaks.get(dtype, (0.0, ""))
            by = f" ({unit})" if unit and unit != dtype else ""
            cells.append(f"{flops / 1e12:g}{by}" if unit else "measured")
        lines.append(
            f"| {device.name} | {', '.join(kinds)} | {' | '.join(cells)} | "
            f"{device.bandwidth / 1e9:,.0f} | {device.source} |"
        )
    return "\n".join(lines) + "\n"


def step_seconds(rows: list[Mapping[str, Any]], limit: str) -> tuple[float, float]:
    """(least seconds of a step, of them in layers that memory bounds)."""
    entries = [row[direction] for row in rows for direction in PASSES]
    total = sum(entry["seconds"][limit] for entry in entries)
    memory = (e["seconds"][limit] for e in entries if e["bound"][limit] == "memory")
    return total, sum(memory)


def rendered(stored: Mapping[str, Any]) -> dict[str, str]:
    """{marker: what belongs between}."""
    return {"roofline": render(stored), "peaks": render_peaks()}


def draw(stored: Mapping[str, Any]) -> Figure:
    """The limits as roofs over FLOP/byte, and the layers at batch 64 below the two in use."""
    figure = Figure(figsize=(8.4, 4.9), dpi=100, facecolor="white")
    axes = figure.add_axes((0.085, 0.115, 0.89, 0.79))
    low, high = 0.15, 1000.0
    colours = {
        "H100 bfloat16": "#8a5fb0",
        "H100 TF32": "#1f5fa8",
        "H100 float32": "#7a8694",
        "this CPU": "#c8641b",
    }
    for name, colour in colours.items():
        limit = stored["limits"][name]
        peak, bandwidth = limit["flops_per_second"], limit["bytes_per_second"]
        ridge = peak / bandwidth
        axes.plot([low, ridge, high], [low * bandwidth, peak, peak], color=colour, linewidth=1.6)
        place = 1.1 if name != "H100 TF32" else 0.9
        va = "bottom" if place > 1 else "top"
        axes.text(high * 0.93, peak * place, name, color=colour, size=9.5, ha="right", va=va)
    rows = stored["batches"]["64"]
    for name in ("H100 TF32", "this CPU"):
        limit = stored["limits"][name]
        for direction, marker in zip(PASSES, ("o", "v"), strict=True):
            x = [row[direction]["intensity"] for row in rows]
            y = [min(i * limit["bytes_per_second"], limit["flops_per_second"]) for i in x]
            label = direction if name == "this CPU" else None
            axes.plot(x, y, marker, color=colours[name], markersize=5, alpha=0.75, label=label)
    _name_some(axes, rows, stored["limits"]["H100 TF32"]["bytes_per_second"])
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(3e9, 4e15))
    axes.set_xlabel("FLOP for each byte moved (batch 64)", color=INK)
    axes.set_ylabel("FLOP/s at most", color=INK)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED)
    axes.spines[:].set_color(RULE)
    legend = axes.legend(loc="lower right", frameon=False, labelcolor=INK)
    for handle in legend.legend_handles:
        handle.set_color(MUTED)  # type: ignore[union-attr]
    title = "Roofline: layers of the seed network on an H100 and on this CPU"
    figure.text(0.02, 0.945, title, size=12, color=INK, weight="bold")
    return figure


def _name_some(axes: Any, rows: list[Mapping[str, Any]], bandwidth: float) -> None:
    for name in ("pool", "stem1", "stem3", "auxiliary_head.hidden", "modules.0.branch5_narrow"):
        (row,) = [row for row in rows if row["layer"] == name]
        x = row["forward"]["intensity"]
        axes.annotate(
            name, (x, x * bandwidth), (-8, 7), textcoords="offset points", size=8, color=MUTED,
            ha="right",
        )  # fmt: skip


def _row(row: Mapping[str, Any], limits: list[str]) -> str:
    both = [row[direction] for direction in PASSES]
    cells = [
        row["layer"],
        " / ".join(_number(entry["flops"] / 1e9) for entry in both),
        " / ".join(_number(entry["bytes"] / 1e6) for entry in both),
        " / ".join(_number(entry["intensity"]) for entry in both),
    ]
    for name in limits:
        bounds = dict.fromkeys(entry["bound"][name] for entry in both)
        cells.append(" / ".join(bounds))
    return "| " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1e3:.2f} ms"


def main() -> None:
    """Measures, stores, renders and draws, as asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="this machine, into the stored file")
    parser.add_argument("--write", action="store_true", help="the page and the picture")
    arguments = parser.parse_args()
    if arguments.measure:
        write_json(STORED, roofline(measure()))
    stored = json.loads(STORED.read_text())
    if not arguments.write:
        print(render(stored), end="")
        return
    PAGE.write_text(placed(PAGE.read_text(), rendered(stored)))
    drawn = io.BytesIO()
    draw(stored).savefig(drawn)
    Image.open(drawn).convert("RGB").quantize(64).save(PICTURE, optimize=True)  # a third as large
    print(
        f"{PAGE.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)}: {os.stat(PICTURE).st_size} bytes"
    )


if __name__ == "__main__":
    main()
