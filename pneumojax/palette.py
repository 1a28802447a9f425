"""The colours of charts, pictures and the report, on light and on dark pages.

Colour-blind readers tell ink, blue and orange apart on both, and all of them have enough contrast
with the paper (`tests/test_palette.py` measures both).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours as "#rrggbb".

    ink, muted: text. rule: lines that divide. paper: the background. soft: the background of boxes.
    blue, orange: data. caution: text of warnings.
    """

    ink: str
    muted: str
    rule: str
    paper: str
    soft: str
    blue: str
    orange: str
    caution: str


LIGHT = Palette(
    ink="#1f2933",
    muted="#5f6c7b",
    rule="#dde2e8",
    paper="#ffffff",
    soft="#f4f6f9",
    blue="#1f5fa8",
    orange="#c8641b",
    caution="#a34a0c",
)
DARK = Palette(
    ink="#e6eaef",
    muted="#a3afbc",
    rule="#38434f",
    paper="#14191f",
    soft="#1d242c",
    blue="#7fb2ea",
    orange="#f0a368",
    caution="#f4b183",
)
# Charts are drawn in the light colours, and the page replaces them in the dark.
INK, MUTED, RULE, PAPER = LIGHT.ink, LIGHT.muted, LIGHT.rule, LIGHT.paper
BLUE, ORANGE = LIGHT.blue, LIGHT.orange
