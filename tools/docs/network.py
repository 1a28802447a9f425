"""The pictures of the network and of synthetic films, drawn from the code.

The shapes and counts of the network come from the modules themselves.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from pneumojax.configs import base
from pneumojax.data import phantom, phantom_films
from pneumojax.nn import pools
from pneumojax.nn.inception import Inception
from tools.docs.drawing import INK, MUTED, RULE

CONV, POOL, DENSE, JOIN, CARD = "#dbe8f7", "#e3f1e3", "#f9e7d3", "#ebe4f5", "#f6f7f9"
Box = tuple[float, float, float, float]  # x, y, width, height


def stages() -> dict[str, tuple[int, ...]]:
    """Returns the shape after each stage of `configs/base.py`, without the batch axis."""
    config = base.get_config()
    side = config.data.image_size
    abstract = nnx.eval_shape(
        lambda: Inception(
            image_size=side,
            channels=config.model.channels,
            stem=config.model.stem,
            modules=config.model.modules,
            heads=("main", "auxiliary"),
            rngs=nnx.Rngs(0),
        )
    )
    definition, params = nnx.split(abstract)

    def run(params: nnx.State) -> dict[str, jax.Array]:
        network = nnx.merge(definition, params)
        x = jnp.zeros((1, side, side, network.channels))
        seen = {"input": x}
        for name in ("stem1", "stem2", "stem3"):
            x = seen[name] = getattr(network, name)(x)
        x = seen["pool"] = pools.max_pool(x, (3, 3), (2, 2))
        for i, module in enumerate(network.modules):
            x = seen[f"modules.{i}"] = module(x)
        seen["global_pool"] = jnp.mean(x, axis=(1, 2))
        x = seen["auxiliary_pool"] = pools.average_pool(x, (5, 5), (3, 3))
        x = seen["auxiliary_narrow"] = getattr(network, "auxiliary_head").narrow(x)  # noqa: B009, set by name
        seen["auxiliary_flat"] = jax.lax.collapse(x, 1)
        return seen

    return {name: leaf.shape[1:] for name, leaf in jax.eval_shape(run, params).items()}


def times(shape: tuple[int, ...]) -> str:
    """Writes (35, 35, 64) as "35×35×64"."""
    return "×".join(f"{size:,}" for size in shape)


def draw_network(path: Path) -> None:
    """Draws the network of `configs/base.py` on a white card, 800 units wide."""
    config = base.get_config()
    shapes = stages()
    figure = Figure((8, 6.45), dpi=200, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 800), ylim=(645, 0))
    axes.axis("off")

    first, second, third = config.model.stem
    _caption(axes, 24, 26, "Stem")
    _chain(
        axes,
        [(24 + 155.5 * i, 36, 130, 52) for i in range(5)],
        [
            ("film", f"{times(shapes['input'])} (grey)", CARD),
            (f"conv 3×3 /2, {first}", times(shapes["stem1"]), CONV),
            (f"conv 3×3, {second}", times(shapes["stem2"]), CONV),
            (f"conv 3×3 same, {third}", times(shapes["stem3"]), CONV),
            ("max pool 3×3 /2", times(shapes["pool"]), POOL),
        ],
    )
    _caption(axes, 24, 125, "Inception modules")
    left, right = (24, 136, 364, 262), (412, 136, 364, 262)
    _module(axes, left, config.model.modules[0], shapes["pool"], shapes["modules.0"])
    _module(axes, right, config.model.modules[1], shapes["modules.0"], shapes["modules.1"])
    # Arrows from the end of the stem to the first module, and from there to the second.
    _path(axes, [(711, 88), (711, 107), (206, 107), (206, 149)])
    _path(axes, [(375, 376), (400, 376), (400, 161), (425, 161)])
    _path(axes, [(594, 389), (594, 416), (12, 416), (12, 473), (24, 473)])
    _path(axes, [(12, 473), (12, 567), (24, 567)])

    _caption(axes, 24, 436, "Auxiliary head", "the published network's only output")
    _chain(
        axes,
        [(24 + 155.5 * i, 447, 130, 52) for i in range(5)],
        [
            ("average pool 5×5 /3", times(shapes["auxiliary_pool"]), POOL),
            ("conv 1×1, 64", times(shapes["auxiliary_narrow"]), CONV),
            ("flatten", times(shapes["auxiliary_flat"]), CARD),
            ("dense 128, ReLU", f"dropout {config.model.dropout:g} in training", DENSE),
            ("dense 1", "logit", DENSE),
        ],
    )
    _caption(axes, 24, 530, "Main head", "configs/two_heads.py: predicts in the auxiliary's stead")
    _chain(
        axes,
        [(24 + 155.5 * i, 541, 130, 52) for i in (0, 3, 4)],
        [
            ("global average pool", times(shapes["global_pool"]), POOL),
            ("dense 128, ReLU", f"dropout {config.model.dropout:g} in training", DENSE),
            ("dense 1", "logit", DENSE),
        ],
        dashed=True,
    )
    legend = (("convolution, bias, ReLU", CONV), ("pool", POOL), ("dense", DENSE), ("join", JOIN))
    x = 24.0
    for name, colour in legend:
        _box(axes, (x, 615, 16, 14), colour)
        axes.text(x + 23, 622, name, size=7.5, color=MUTED, va="center")
        x += 48 + 5.4 * len(name)
    axes.text(
        776, 622, "height×width×channels behind each box", size=7.5, color=MUTED, va="center",
        ha="right",
    )  # fmt: skip
    figure.savefig(path)


def draw_films(path: Path) -> None:
    """Draws a row each of normal, bacteria and virus films, each film of another patient."""
    rows, columns, height, width, gap, label = 3, 5, 180, 210, 8, 26
    sheet = Image.new("L", (columns * (width + gap) + gap, rows * (height + label) + gap), 255)
    titles = ("normal", "pneumonia, bacteria", "pneumonia, virus")
    figure = Figure((sheet.width / 100, sheet.height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, sheet.width), ylim=(sheet.height, 0))
    axes.axis("off")
    for row, (pathogen, title) in enumerate(zip(phantom.PATHOGENS, titles, strict=True)):
        top = row * (height + label)
        axes.text(gap, top + label / 2 + 1, f"{title} (synthetic)", size=10.5, va="center")
        for column in range(columns):
            pixels = phantom.draw_film(phantom_films.SEED, column + 1, 1, pathogen)
            film = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(film, (gap + column * (width + gap), top + label))
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, extent=(0, sheet.width, sheet.height, 0))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L").save(path, optimize=True)


def _module(
    axes: Axes,
    box: Box,
    widths: tuple[int, ...],
    before: tuple[int, ...],
    after: tuple[int, ...],
) -> None:
    """Draws four parallel branches between the input and their concatenation."""
    f1, f2_in, f2_out, f3_in, f3_out, f4 = widths
    x, y, width, height = box
    _box(axes, box, CARD, edge=RULE)
    _box(axes, (x + 13, y + 13, width - 26, 24), "white", f"input {times(before)}")
    _box(axes, (x + 13, y + height - 34, width - 26, 24), JOIN, f"concatenate: {times(after)}")
    branches = [
        [(f"1×1, {f1}", CONV)],
        [(f"1×1, {f2_in}", CONV), (f"3×1, {f2_out}", CONV), (f"1×3, {f2_out}", CONV)],
        [(f"1×1, {f3_in}", CONV), (f"5×1, {f3_out}", CONV), (f"1×5, {f3_out}", CONV)],
        [("max 3×3 /1", POOL), (f"1×1, {f4}", CONV)],
    ]
    top, bottom, pitch = y + 37, y + height - 34, (width - 26) / 4
    for i, branch in enumerate(branches):
        centre = x + 13 + pitch * (i + 0.5)
        last = top
        for j, (text, colour) in enumerate(branch):
            row = top + 24 + 54 * (j + (3 - len(branch)) / 2)
            _path(axes, [(centre, last), (centre, row)])
            _box(axes, (centre - 38, row, 76, 28), colour, text)
            last = row + 28
        _path(axes, [(centre, last), (centre, bottom)])


def _chain(
    axes: Axes,
    boxes: list[Box],
    labels: list[tuple[str, str, str]],
    dashed: bool = False,
) -> None:
    """Draws boxes from left to right with arrows between them."""
    for i, (box, (text, shape, colour)) in enumerate(zip(boxes, labels, strict=True)):
        x, y, width, height = box
        _box(axes, box, colour, dashed=dashed)
        axes.text(x + width / 2, y + 17, text, size=8.4, color=INK, ha="center", va="center")
        axes.text(x + width / 2, y + 36, shape, size=7.5, color=MUTED, ha="center", va="center")
        if i:
            before = boxes[i - 1]
            middle = y + height / 2
            _path(axes, [(before[0] + before[2], middle), (x, middle)])


def _box(
    axes: Axes,
    box: Box,
    colour: str,
    text: str = "",
    *,
    edge: str = MUTED,
    dashed: bool = False,
) -> None:
    x, y, width, height = box
    patch = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=4")
    patch.set(facecolor=colour, edgecolor=edge, linewidth=0.8)
    if dashed:
        patch.set_linestyle((0, (4, 2)))
    axes.add_patch(patch)
    axes.text(x + width / 2, y + height / 2, text, size=8.2, color=INK, ha="center", va="center")


def _path(axes: Axes, points: list[tuple[float, float]]) -> None:
    """Draws a line through the points with an arrowhead at the last."""
    axes.plot(*zip(*points[:-1], strict=True), color=MUTED, linewidth=1)
    axes.annotate(
        "",
        points[-1],
        points[-2],
        arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 1, "shrinkA": 0,
                    "shrinkB": 0, "mutation_scale": 8},
    )  # fmt: skip


def _caption(axes: Axes, x: float, y: float, text: str, note: str = "") -> None:
    axes.text(x, y, text, size=9.5, color=INK, weight="bold", va="center")
    axes.text(x + 20 + 7 * len(text), y, note, size=7.8, color=MUTED, va="center")
