import numpy as np
import pytest
import scipy.ndimage

from pneumojax.evaluation.audits.perturbations import (
    PERTURBATIONS,
    blanked_border,
    blur,
    brightness,
    contrast,
    crop,
    jpeg,
    rotation,
)


@pytest.fixture(scope="module")
def images():
    noise = np.random.default_rng([0]).normal(120, 400, (4, 60, 60))
    return np.clip(scipy.ndimage.gaussian_filter(noise, (0, 3, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_level_changes_films_one_by_one_and_leaves_the_originals(name, images):
    before = images.copy()
    perturbation = PERTURBATIONS[name]
    for level in perturbation.levels:
        changed = perturbation.apply(images, level)
        assert changed.shape == images.shape and changed.dtype == np.uint8
        assert (changed != images).any(axis=(1, 2)).all()
        np.testing.assert_array_equal(perturbation.apply(images[1:2], level), changed[1:2])
        np.testing.assert_array_equal(perturbation.apply(images, level), changed)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", sorted(PERTURBATIONS.keys() - {"jpeg"}))
def test_at_the_level_called_unchanged_nothing_changes(name, images):
    perturbation = PERTURBATIONS[name]
    np.testing.assert_array_equal(perturbation.apply(images, perturbation.unchanged), images)


def test_further_levels_change_more(images):
    for perturbation in PERTURBATIONS.values():
        for side in (1, -1):
            levels = [x for x in perturbation.levels if (x - perturbation.unchanged) * side > 0]
            levels.sort(key=lambda level, p=perturbation: abs(level - p.unchanged))
            gaps = [
                np.abs(perturbation.apply(images, x) - images.astype(int)).sum() for x in levels
            ]
            assert gaps == sorted(gaps), perturbation.title


def test_grey_levels_move_as_said_and_stop_at_black_and_white():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_array_equal(brightness(ramp, 0.2), np.minimum(ramp.astype(int) + 51, 255))
    np.testing.assert_array_equal(brightness(ramp, -0.2), np.maximum(ramp.astype(int) - 51, 0))
    halved = contrast(ramp, 0.5).astype(float)
    np.testing.assert_allclose(halved, 127.5 + (ramp - 127.5) / 2, atol=0.5)
    assert contrast(ramp, 1.5).min() == 0 and contrast(ramp, 1.5).max() == 255


def test_blur_spreads_a_point_by_its_sigma_within_its_film():
    point = np.zeros((2, 41, 41), np.uint8)
    point[0, 20, 20] = 255
    blurred = blur(point, 2.0).astype(float)
    at = np.arange(41) - 20
    across = blurred[0].sum(axis=0)
    assert np.sqrt((across * at**2).sum() / across.sum()) == pytest.approx(2, abs=0.25)
    assert not blurred[1].any()


def test_rotation_crop_and_border_do_what_they_say():
    corner = np.zeros((1, 40, 40), np.uint8)
    corner[0, :20, 20:] = 200  # the upper right quarter
    turned = rotation(corner, 90.0)
    assert turned[0, 10, 10] == 200 and turned[0, 10, 30] == 0  # counter-clockwise: upper left
    frame = np.full((1, 40, 40), 255, np.uint8)
    frame[0, 4:-4, 4:-4] = 100
    assert (crop(frame, 0.1) == 100).all()
    assert (blanked_border(np.full_like(frame, 9), 0.1) == np.where(frame == 255, 0, 9)).all()


def test_jpeg_loses_more_at_lower_quality_and_little_at_the_highest(images):
    fine, coarse = (np.abs(jpeg(images, q) - images.astype(int)).max() for q in (95, 10))
    assert fine <= 4 < coarse
