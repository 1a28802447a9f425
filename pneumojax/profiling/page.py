"""A profile as one page: a picture, and the same figures as a table on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pneumojax.palette import BLUE, INK, MUTED, ORANGE, RULE
from pneumojax.profiling.measure import Profile, Timing
from pneumojax.profiling.trace import CALLS, Operation
from pneumojax.terminal import speed

COLOURS = {"forward": BLUE, "backward": ORANGE, "other": "#7a8694"}
LONGEST = 10  # operations on the page and in the table


def figures(profile: Profile) -> list[tuple[str, str]]:
    """The measurements as pairs of name and value, in words."""
    timing, work = profile.timing, profile.work
    from_cache = " from cache" if profile.compile_from_cache else ""
    rows = [
        ("compile", f"{profile.compile_seconds:.1f} s{from_cache}"),
        ("step, median", seconds(timing.median)),
        ("step, 90th percentile", f"{seconds(timing.p90)} ({len(timing.seconds)} steps)"),
        ("steps in a call", f"{profile.steps_per_call}"),
        ("films a second", f"{profile.films_per_second:,.1f}"),
        ("wait for data", f"{timing.wait_share:.1%} of the step"),
        ("input alone", speed(profile.input_alone)),
        ("network's work", f"{profile.flops_per_step / 1e9:,.2f} GFLOP a step"),
        ("  multiply-adds a film", f"{(work.forward + work.backward) / 1e6:,.1f} million"),
        ("speed", f"{profile.flops_per_second / 1e12:.3g} TFLOP/s"),
        ("share of the peak", f"{profile.share_of_peak:.1%}"),
        ("  peak", f"{profile.peak.flops / 1e12:.3g} TFLOP/s"),
        ("XLA counts, loops once", _giga(profile.xla_flops, "GFLOP")),
        ("  bytes accessed", _giga(profile.xla_bytes, "GB")),
    ]
    return rows + [
        (f"memory, {name.replace('_', ' ')}", _giga(value, "GB"))
        for name, value in profile.memory.items()
    ]


def seconds(value: float) -> str:
    """`1.53 s`, `12.4 ms`, `85 µs`."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, size = next((pair for pair in units if value >= pair[1]), units[-1])
    return f"{value / size:.3g} {unit}"


def print_page(profile: Profile) -> None:
    """Prints the figures and the longest operations, in 100 columns and plain when piped."""
    console = Console(highlight=False, width=100)
    table = Table("profile", "", box=SIMPLE_HEAD, pad_edge=False)
    for row in figures(profile):
        table.add_row(*row)
    table.add_row("peak is", profile.peak.source)
    console.print(table)
    table = Table("operation", "what, where", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("a step", "share", "calls"):
        table.add_column(column, justify="right", no_wrap=True)
    for operation in profile.operations[:LONGEST]:
        table.add_row(
            operation.name,
            f"{_origin(operation)}\n{operation.instruction.place}",
            seconds(operation.seconds),
            f"{operation.share:.1%}",
            f"{operation.calls:,.0f}",
        )
    console.print(table)
    console.print(_total(profile))


def draw_page(profile: Profile) -> Figure:
    """One landscape page: figures, step times, forward and backward, the longest operations."""
    config = profile.config
    figure = Figure(figsize=(11.7, 8.3), dpi=120, facecolor="white")
    figure.text(0.03, 0.965, f"Profile of a training step: {config.name}", size=16, color=INK,
                weight="bold", va="top")  # fmt: skip
    side = config.data.image_size
    synthetic = ", synthetic films" if profile.provenance["synthetic"] else ""
    about = (
        f"{profile.devices} x {profile.device}, batch {config.batch_size}, {side} x {side} "
        f"pixels, {config.model.dtype}, JAX {profile.provenance['versions']['jax']}{synthetic}"
    )
    figure.text(0.03, 0.925, about, size=10.5, color=MUTED, va="top")
    _draw_figures(figure, figures(profile))
    _draw_steps(figure.add_axes((0.5, 0.72, 0.46, 0.15)), profile.timing)
    _draw_directions(figure.add_axes((0.5, 0.55, 0.46, 0.05)), profile.seconds_by_direction)
    _draw_operations(figure.add_axes((0.42, 0.065, 0.42, 0.385)), profile.operations[:LONGEST])
    figure.text(0.03, 0.035, _total(profile), size=8, color=MUTED)
    figure.text(0.03, 0.015, f"Peak: {profile.peak.source}", size=8, color=MUTED)
    return figure


def _draw_figures(figure: Figure, rows: Sequence[tuple[str, str]]) -> None:
    pitch = min(0.021, 0.38 / len(rows))
    for place, (name, value) in enumerate(rows):
        y = 0.885 - pitch * place
        strong = name in ("step, median", "films a second", "share of the peak", "wait for data")
        weight = "bold" if strong else "normal"
        figure.text(0.03, y, name, size=9, color=MUTED, va="top")
        figure.text(0.23, y, value, size=9, color=INK, va="top", weight=weight)


def _draw_steps(axes: Axes, timing: Timing) -> None:
    times = timing.seconds
    scale, unit = (1.0, "s") if timing.median >= 0.1 else (1e3, "ms")
    axes.plot(range(1, len(times) + 1), [t * scale for t in times], "o", color=COLOURS["forward"],
              markersize=4)  # fmt: skip
    for value in (timing.median, timing.p90):
        axes.axhline(value * scale, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_ylim(0, max(times) * scale * 1.15)
    title = f"Timed steps, {unit} each; dashed: median and 90th percentile"
    axes.set_title(title, loc="left", size=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(colors=MUTED, labelsize=8.5)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)


def _draw_directions(axes: Axes, sums: Mapping[str, float]) -> None:
    total, left = sum(sums.values()) or 1.0, 0.0
    for name, value in sums.items():
        axes.barh(0, value / total, left=left, color=COLOURS[name], height=1)
        if value / total > 0.12:
            axes.text(left, -1.1, f"{name} {value / total:.0%}", size=9, color=COLOURS[name],
                      va="center", weight="bold")  # fmt: skip
        left += value / total
    axes.set(xlim=(0, 1), ylim=(-0.5, 0.5))
    axes.set_title("Time of operations by direction", loc="left", size=11, color=INK)
    axes.axis("off")


def _draw_operations(axes: Axes, rows: Sequence[Operation]) -> None:
    axes.set_title(f"The {len(rows)} operations that take longest", loc="left", size=11, color=INK)
    longest = max((row.seconds for row in rows), default=1.0)
    for place, row in enumerate(rows):
        axes.barh(place, row.seconds, color=COLOURS[row.instruction.direction], height=0.62)
        label = f"{seconds(row.seconds)}, {row.share:.1%}, {row.calls:,.0f} x"
        axes.text(row.seconds + longest * 0.01, place, label, size=8.5, color=INK, va="center")
        text: dict[str, Any] = {"ha": "right", "va": "center"}
        text["transform"] = axes.get_yaxis_transform()
        axes.text(-0.01, place - 0.2, _origin(row), size=8.5, color=INK, **text)
        where = f"{row.name}  {row.instruction.place}"
        axes.text(-0.01, place + 0.25, where, size=7.5, color=MUTED, **text)
    axes.set(xlim=(0, longest * 1.02), ylim=(max(len(rows), 1) - 0.4, -0.6))
    axes.axis("off")


def _origin(operation: Operation) -> str:
    found = operation.instruction
    what = found.what if len(found.what) <= 48 else f"...{found.what[-45:]}"
    return f"{found.direction} {what} {found.shape[:32]}".strip()


def _total(profile: Profile) -> str:
    total = sum(profile.seconds_by_direction.values())
    steps = CALLS * profile.steps_per_call
    return (
        f"Operations: {seconds(total)} a step, over {steps} traced steps; loop iterations and "
        "parallel threads or streams are added up."
    )


def _giga(value: float | Sequence[float] | None, unit: str) -> str:
    if value is None:
        return "not reported"
    if isinstance(value, Sequence):
        value = max(value)  # the device that needs most
    return f"{value / 1e9:,.3f} {unit}"
