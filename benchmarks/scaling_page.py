"""The tables and the picture of what `benchmarks/scaling_model.py` computes."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from PIL import Image

from benchmarks.draw_scaling import INK, MUTED, RULE
from benchmarks.performance_page import placed

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, PICTURE = DOCS / "scaling.md", DOCS / "images" / "scaling_model.png"
LINES = {
    "compute": ("#1f5fa8", "-", "compute: roofline, launches"),
    "sums": ("#b3541e", "-", "sums over the GPUs"),
    "memory": ("#2f7d4f", "-", "input, from memory"),
    "storage": ("#2f7d4f", "--", "input, from shared storage"),
    "jpeg": ("#2f7d4f", ":", "input, JPEG files decoded"),
}


def rendered(result: Mapping[str, Any]) -> dict[str, str]:
    """{marker: what belongs between}."""
    return {
        "weak": steps(result["weak"]),
        "strong": steps(result["strong"]),
        "input": supplies(result["weak"]),
        "networks": networks(result["networks"]),
        "parts": known_parts(result["parts"]),
    }


def steps(modelled: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A row for each network and number of GPUs; where two sets differ, "small / large"."""
    lines = [
        "| network | GPUs | compute, ms | sums, ms | input, ms | step, ms | an epoch "
        "| bottleneck |",
        "| --- |" + " --- |" * 7,
    ]
    for network, rows in modelled.items():
        for row in rows:
            sets = [row["small"], row["large"]]
            cells = [
                network,
                f"{row['gpus']:,}",
                _number(compute(row) * 1e3),
                _number(sums(row) * 1e3),
                _pair([_number(each["input"] * 1e3) for each in sets]),
                _pair([_number(each["seconds"] * 1e3) for each in sets]),
                _pair([_duration(each["epoch_seconds"]) for each in sets]),
                _pair([each["bottleneck"] for each in sets]),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def supplies(weak: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the GPUs of the weak table could take, and what reaches them."""
    lines = [
        "| network | GPUs | wanted, films/s | GB/s, decoded | from memory | from shared storage "
        "| JPEG files decoded |",
        "| --- |" + " --- |" * 6,
    ]
    for network, rows in weak.items():
        for row in rows:
            wanted, rates = row["films_per_second_wanted"], row["films_per_second_supplied"]
            cells = [
                network,
                f"{row['gpus']:,}",
                f"{wanted:,.0f}",
                _number(row["bytes_per_second_wanted"] / 1e9),
                *(f"{min(1, rates[kind] / wanted):.0%}".replace("%", " %") for kind in rates),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def networks(counted: Mapping[str, Mapping[str, Any]]) -> str:
    """What was counted."""
    lines = [
        "| network | parameters | batch norms | kernels a step | GFLOP a film | MB moved a film "
        "| kB read a film | 10 million films, decoded | decoding them, one box | checking them |",
        "| --- |" + " --- |" * 9,
    ]
    for name, row in counted.items():
        large = row["large_set"]
        cells = [
            name,
            *(f"{row[key]:,}" for key in ("parameters", "norms", "kernels")),
            _number(row["flops_a_film"] / 1e9),
            _number(row["bytes_a_film"] / 1e6),
            _number(row["input_bytes_a_film"] / 1e3),
            f"{large['bytes'] / 1e9:,.0f} GB",
            _duration(large["decoding_seconds"]),
            _duration(large["checking_seconds"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def known_parts(known: Mapping[str, Mapping[str, Any]]) -> str:
    """Every number that goes in, measured ones first."""
    lines = ["| | number | value | from |", "| --- | --- | --- | --- |"]
    for part in known.values():
        value = f"{_scaled(part['value'])}{part['unit']}".strip()
        lines.append(f"| {part['kind']} | {part['name']} | {value} | {part['source']} |")
    return "\n".join(lines) + "\n"


def compute(row: Mapping[str, Any]) -> float:
    """Seconds of a step on each GPU by itself."""
    return sum(row["work"][name] for name in ("arithmetic", "memory", "launches"))


def sums(row: Mapping[str, Any]) -> float:
    """Seconds of a step in which GPUs wait for each other."""
    return row["work"]["gradients"] + row["work"]["statistics"]


def draw(result: Mapping[str, Any]) -> Figure:
    """Milliseconds of each part of a step over the number of GPUs, 64 films on each."""
    figure = Figure(figsize=(11.7, 3.7), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(result["weak"]), sharey=True)
    for axes, (network, rows) in zip(panels, result["weak"].items(), strict=True):
        _panel(axes, rows)
        axes.set_title(network, fontsize=9, color=INK, loc="left")
        axes.set_xlabel("GPUs, 64 films on each", fontsize=9, color=INK)
    panels[0].set_ylabel("ms of a step (a model)", fontsize=9, color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8,
        labelcolor=INK,
    )  # fmt: skip
    return figure


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    gpus = [row["gpus"] for row in rows]
    for name, (colour, style, label) in LINES.items():
        if name == "compute":
            seconds = [compute(row) for row in rows]
        elif name == "sums":
            seconds = [sums(row) or float("nan") for row in rows]
        else:
            seconds = [
                row["gpus"] * row["films_a_gpu"] / row["films_per_second_supplied"][name]
                for row in rows
            ]
        axes.plot(
            gpus, [1e3 * s for s in seconds], style, marker="o", markersize=3, color=colour,
            linewidth=1.5, label=label,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(gpus, [f"{count:,}" for count in gpus])
    axes.set_yticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=MUTED, labelsize=8)


def write(result: Mapping[str, Any]) -> None:
    """The page and the picture."""
    PAGE.write_text(placed(PAGE.read_text(), rendered(result)))
    drawn = io.BytesIO()
    draw(result).savefig(drawn, dpi=110)
    Image.open(drawn).convert("RGB").quantize(64).save(PICTURE, optimize=True)  # a third as large


def _pair(values: Sequence[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.3g}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    return f"{_number(seconds)} s" if seconds < 120 else f"{_number(seconds / 60)} min"


def _scaled(value: float) -> str:
    """With a prefix, and a space before the unit that follows."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}"
    return f"{value * 1e6:.2g} µ" if value < 1e-3 else f"{value:.3g} "
