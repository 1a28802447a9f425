"""The palette under simulated colour blindness, and its contrast on light and dark paper."""

import itertools

import numpy as np
import pytest

from pneumojax.palette import DARK, LIGHT

# Machado, Oliveira, Fernandes: A physiologically-based model for simulation of color vision
# deficiency, IEEE TVCG 15:1291 (2009); severity 1.0, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = SRGB_TO_XYZ.sum(axis=1)


def linear(colour):
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear RGB."""
    xyz = SRGB_TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    """The contrast ratio of WCAG 2."""
    dark, light = sorted(float(SRGB_TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def test_black_and_white_are_as_far_apart_as_the_standards_say():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    np.testing.assert_allclose(lab(linear("#ffffff")), [100, 0, 0], atol=1e-3)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colour_blind_readers_tell_the_colours_of_data_apart(palette, vision):
    # A difference of 2.3 in CIELAB is just noticeable side by side; a thin line needs far more.
    colours = [lab(VISION[vision] @ linear(c)) for c in (palette.ink, palette.blue, palette.orange)]
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(one - other) > 30
    grey = lab(VISION[vision] @ linear(palette.muted))  # lines of reference, often dashed
    assert min(np.linalg.norm(grey - colour) for colour in colours) > 20


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_data_stand_out_from_the_paper(palette):
    for colour in (palette.ink, palette.muted, palette.caution):
        assert contrast(colour, palette.paper) >= 4.5  # WCAG 2, level AA, text
        assert contrast(colour, palette.soft) >= 4.5
    for colour in (palette.blue, palette.orange):
        assert contrast(colour, palette.paper) >= 3  # level AA, graphics
