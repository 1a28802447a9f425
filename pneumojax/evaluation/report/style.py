"""The look that all charts of a report share: a white card that is legible on a phone.

Charts use only colours of the palette, because the page exchanges these in a dark theme.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.palette import INK, MUTED, ORANGE, PAPER, RULE

WIDTH = 5.2  # inches
HEIGHT = 3.8  # inches, of a chart with one panel
DASHED = (0, (4, 4))


def empty_card(height: float = HEIGHT) -> Figure:
    """A white picture of the report's width without axes; `height` in inches."""
    return Figure(figsize=(WIDTH, height), dpi=150, facecolor=PAPER, layout="constrained")


def card(height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = empty_card(height)
    axes = figure.subplots()
    tidy(axes)
    return figure, axes


def tidy(axes: Axes) -> None:
    """Makes axes without a frame that are legible when the picture is 360 pixels wide."""
    axes.set_facecolor(PAPER)
    axes.set_axisbelow(True)
    axes.grid(color=RULE, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=11)
    axes.xaxis.label.set(color=INK, size=12)
    axes.yaxis.label.set(color=INK, size=12)


def signed(figure: Figure, synthetic: bool) -> Figure:
    """Puts the disclaimer below a picture and, for drawn films, the stamp."""
    if synthetic:
        text = f"{SYNTHETIC_STAMP}. {DISCLAIMER}"
        figure.supxlabel(text, size=9, weight="bold", color=ORANGE)
    else:
        figure.supxlabel(DISCLAIMER, size=8, color=MUTED)
    return figure
