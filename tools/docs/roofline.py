"""The tables and the picture of the bounds that `benchmarks/roofline.py` computes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.roofline import PASSES, STORED, step_seconds
from pneumojax.profiling import devices
from tools.docs.drawing import INK, MUTED, RULE, save
from tools.docs.marks import percent, table

COLOURS = {
    "H100 bfloat16": "#8a5fb0",
    "H100 TF32": "#1f5fa8",
    "H100 float32": "#7a8694",
    "this CPU": "#c8641b",
}
SHOWN = ("H100 TF32", "this CPU")  # limits under which the layers are drawn
NAMED = ("pool", "stem1", "stem3", "auxiliary_head.hidden", "modules.0.branch5_narrow")
LIMITS = ("limit", "TFLOP/s", "GB/s", "balance, FLOP/byte", "step of 64", "step of 256",
          "memory-bound", "films/s at most", "share of peak at most")  # fmt: skip


def rendered() -> str:
    """Renders the stored bounds."""
    return render(json.loads(STORED.read_text()))


def render(stored: Mapping[str, Any]) -> str:
    """Renders a table of whole steps under each limit, and one of layers for each batch size."""
    cpu = stored["cpu"]
    text = (
        f"This CPU: {cpu['hardware']}, JAX {cpu['jax']}. H100: an SXM5 with 80 GB, from the "
        f"{stored['h100']}. For each limit the table has the shortest possible time of a step of "
        "64 and of 256 films, the share of that time in layers that memory bounds, and the films "
        "per second and the share of the peak that follow from it:\n\n"
    )
    text += table(LIMITS, [_limit_cells(stored, name) for name in stored["limits"]])
    names = list(stored["limits"])
    for batch, rows in stored["batches"].items():
        text += f"\nBatch {batch}, forward / backward, four bytes a value:\n\n"
        header = ["layer", "GFLOP", "MB", "FLOP/byte", *names]
        text += table(header, [_layer_cells(row, names) for row in rows])
    return text


def _limit_cells(stored: Mapping[str, Any], name: str) -> list[str]:
    limit = stored["limits"][name]
    peak, bandwidth = limit["flops_per_second"], limit["bytes_per_second"]
    steps = [step_seconds(rows, name) for rows in stored["batches"].values()]
    total, memory = steps[0]
    rows = stored["batches"]["64"]
    flops = sum(row[direction]["flops"] for row in rows for direction in PASSES)
    return [
        name,
        f"{peak / 1e12:.3g}",
        f"{bandwidth / 1e9:,.0f}",
        f"{peak / bandwidth:.1f}",
        *(_seconds(seconds) for seconds, _ in steps),
        percent(memory / total),
        f"{64 / total:,.0f}",
        percent(flops / total / peak),
    ]


def _layer_cells(row: Mapping[str, Any], limits: list[str]) -> list[str]:
    both = [row[direction] for direction in PASSES]
    cells = [
        row["layer"],
        " / ".join(_number(entry["flops"] / 1e9) for entry in both),
        " / ".join(_number(entry["bytes"] / 1e6) for entry in both),
        " / ".join(_number(entry["intensity"]) for entry in both),
    ]
    return cells + [" / ".join(dict.fromkeys(e["bound"][name] for e in both)) for name in limits]


def render_peaks() -> str:
    """Renders the devices whose peaks are known."""
    names: dict[devices.Device, list[str]] = {}
    for kind, device in devices.KNOWN.items():
        names.setdefault(device, []).append(f"`{kind}`")
    rows = []
    for device, kinds in names.items():
        peaks = [_peak(device, dtype) for dtype in ("float32", "bfloat16")]
        bandwidth = f"{device.bandwidth / 1e9:,.0f}"
        rows.append([device.name, ", ".join(kinds), *peaks, bandwidth, device.source])
    header = ["device", "as JAX names it", "float32, TFLOP/s", "bfloat16, TFLOP/s", "GB/s", "from"]
    return table(header, rows)


def _peak(device: devices.Device, dtype: str) -> str:
    flops, unit = device.peaks.get(dtype, (0.0, ""))
    by = f" ({unit})" if unit and unit != dtype else ""
    return f"{flops / 1e12:g}{by}" if unit else "measured"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1e3:.2f} ms"


def draw_stored(path: Path) -> None:
    """Draws each limit as a roof over FLOP/byte, and the layers at batch 64 under two roofs."""
    stored = json.loads(STORED.read_text())
    figure = Figure(figsize=(8.4, 4.9), facecolor="white")
    axes = figure.add_axes((0.085, 0.115, 0.89, 0.79))
    low, high = 0.15, 1000.0
    for name, colour in COLOURS.items():
        limit = stored["limits"][name]
        peak, bandwidth = limit["flops_per_second"], limit["bytes_per_second"]
        ridge = peak / bandwidth
        axes.plot([low, ridge, high], [low * bandwidth, peak, peak], color=colour, linewidth=1.6)
        place, va = (0.9, "top") if name == "H100 TF32" else (1.1, "bottom")
        axes.text(high * 0.93, peak * place, name, color=colour, size=9.5, ha="right", va=va)
    _draw_layers(axes, stored)
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
    title = "Roofline: layers of the base network on an H100 and on this CPU"
    figure.text(0.02, 0.945, title, size=12, color=INK, weight="bold")
    save(figure, path, colours=64, dpi=100)


def _draw_layers(axes: Axes, stored: Mapping[str, Any]) -> None:
    rows = stored["batches"]["64"]
    for name in SHOWN:
        limit = stored["limits"][name]
        for direction, marker in zip(PASSES, ("o", "v"), strict=True):
            x = [row[direction]["intensity"] for row in rows]
            y = [min(i * limit["bytes_per_second"], limit["flops_per_second"]) for i in x]
            label = direction if name == "this CPU" else None
            axes.plot(x, y, marker, color=COLOURS[name], markersize=5, alpha=0.75, label=label)
    bandwidth = stored["limits"]["H100 TF32"]["bytes_per_second"]
    for row in rows:
        if row["layer"] in NAMED:
            x = row["forward"]["intensity"]
            axes.annotate(
                row["layer"], (x, x * bandwidth), (-8, 7), textcoords="offset points", size=8,
                color=MUTED, ha="right",
            )  # fmt: skip
