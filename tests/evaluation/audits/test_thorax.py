"""The finder of the thorax on films whose thorax is known."""

import numpy as np
import pytest
from PIL import Image

from pneumojax.data.phantom import PATHOGENS, draw
from pneumojax.evaluation.audits.thorax import find_thorax

SIDE = 112


def shrunk(picture):
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX))


def thorax_of(lungs):
    """Everything between the outer edges of the lungs, row by row."""
    left = np.maximum.accumulate(lungs, axis=1)
    right = np.maximum.accumulate(lungs[:, ::-1], axis=1)[:, ::-1]
    return left & right


@pytest.fixture(scope="module")
def drawings():
    return [draw(5, patient, 1, kind) for patient in range(1, 9) for kind in PATHOGENS]


def test_the_thorax_found_is_the_one_drawn_with_and_without_opacities(drawings):
    found = find_thorax(np.stack([shrunk(each.film) for each in drawings]))
    overlaps, lungs = [], []
    for mask, each in zip(found, drawings, strict=True):
        known, own = (
            shrunk(m.astype(np.uint8) * 255) > 127 for m in (thorax_of(each.lungs), each.lungs)
        )
        overlaps.append((mask & known).sum() / (mask | known).sum())
        lungs.append((mask & own).sum() / own.sum())
    # Intersection over union. The template's diaphragm is domed, and the known one ends flat.
    assert np.median(overlaps) > 0.7 and min(overlaps) > 0.5
    assert np.mean(lungs) > 0.85


def test_a_mask_follows_a_film_that_is_shifted(drawings):
    film = shrunk(drawings[0].film)
    moved = np.roll(film, 12, axis=0)
    moved[:12] = film[0]
    before, after = (
        np.flatnonzero(mask.any(axis=1)) for mask in find_thorax(np.stack([film, moved]))
    )
    assert 6 <= after[0] - before[0] <= 18  # templates lie 0.04 of the side apart


def test_no_thorax_is_found_where_there_is_none(drawings):
    rng = np.random.default_rng([0])
    film = shrunk(drawings[0].film)
    others = [
        rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8),
        np.zeros((SIDE, SIDE), np.uint8),
        np.full((SIDE, SIDE), 255, np.uint8),
        np.rot90(film),
        255 - film,
    ]
    assert find_thorax(np.stack(others)) == [None] * len(others)
    assert find_thorax(np.empty((0, SIDE, SIDE), np.uint8)) == []


def test_a_mask_has_the_films_shape():
    film = draw(5, 1, 1, "none").film
    (mask,) = find_thorax(film[None])
    assert mask.shape == film.shape and mask.dtype == bool
