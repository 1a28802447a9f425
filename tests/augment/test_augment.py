"""Augmentation is a function of seed, epoch and film, and each change has its effect."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pneumojax.augment import appearance
from pneumojax.augment.augment import film_keys, make_augment, mixup
from pneumojax.configs import base

SIDE = 40
EVERYTHING = {
    "crop_area": (0.3, 1.0),
    "crop_aspect": (0.75, 1.333),
    "rotation": 10.0,
    "shift": 0.05,
    "flip": 0.5,
    "brightness": 0.1,
    "contrast": 0.5,
    "gamma": 0.4,
    "blur": 1.5,
    "sharpen": 1.0,
    "noise": 0.05,
    "downscale": 0.5,
    "jpeg": 0.5,
    "erase": 0.5,
}


def settings(**fields):
    config = base.get_config().augment
    config.update(fields)
    return config


@pytest.fixture(scope="module")
def films():
    """Six films (6, 40, 40, 1) of noise over a slope, which every change alters."""
    rng = np.random.default_rng(0)
    slope = np.linspace(0.2, 0.7, SIDE)[None, :, None, None]
    return (slope + rng.uniform(-0.15, 0.15, (6, SIDE, SIDE, 1))).astype(np.float32)


def keys(epoch=0, count=6, seed=0):
    return film_keys(seed, jnp.int32(epoch), jnp.arange(count, dtype=jnp.int32))


def compiled(**fields):
    """Most of the time of these tests is compilation, which is slower still without jit."""
    return jax.jit(make_augment(settings(**fields), SIDE))


@pytest.fixture(scope="module")
def everything():
    return compiled(size=24, **EVERYTHING)


def test_with_everything_off_films_are_returned_untouched(films):
    assert make_augment(settings(), SIDE)(films, keys()) is films


@pytest.mark.slow
def test_a_film_depends_on_seed_epoch_and_itself_and_not_on_its_neighbours(films, everything):
    shown = everything(films, keys())
    np.testing.assert_array_equal(shown, everything(films, keys()))
    turned = everything(films[::-1], keys()[::-1])
    np.testing.assert_array_equal(turned[::-1], shown)
    for others in (keys(epoch=1), keys(seed=1), keys()[::-1]):
        assert np.all(np.any(everything(films, others) != shown, axis=(1, 2, 3)))


@pytest.mark.slow
def test_films_stay_grey_levels_of_the_size_asked_for(films, everything):
    shown = everything(films, keys())
    assert shown.shape == (6, 24, 24, 1) and shown.dtype == jnp.float32
    assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 1


@pytest.mark.slow
def test_each_change_alters_films_and_differs_from_epoch_to_epoch(films):
    alone = {
        name: make_augment(settings(**{name: value}), SIDE) for name, value in EVERYTHING.items()
    }
    augment = jax.jit(lambda *given: {name: change(*given) for name, change in alone.items()})
    first, second = augment(films, keys()), augment(films, keys(epoch=1))
    for name in EVERYTHING:
        assert np.any(first[name] != films), name
        assert np.any(first[name] != second[name]), name


def test_at_probability_0_the_changes_that_it_governs_are_off(films):
    never = compiled(blur=2.0, sharpen=1.0, noise=0.1, downscale=0.5, jpeg=1.0, probability=0.0)
    np.testing.assert_array_equal(never(films, keys()), films)


def test_a_certain_flip_is_the_mirror_image(films):
    shown = compiled(flip=1.0)(films, keys())
    np.testing.assert_allclose(shown, films[:, :, ::-1], atol=1e-5)  # interpolation rounds


def test_a_crop_keeps_its_share_of_the_area_and_lies_within_the_film():
    """In a film whose grey is its column, the slope gives the width of the crop and its place."""
    ramp = jnp.broadcast_to(jnp.linspace(0, 1, SIDE)[None, None, :, None], (200, SIDE, SIDE, 1))
    augment = compiled(crop_area=(0.25, 0.25))
    rows = np.asarray(augment(ramp, keys(count=200)))[:, 0, :, 0]
    middle = np.diff(rows[:, 5:-5], axis=1)
    np.testing.assert_allclose(middle, 0.5 / (SIDE - 1), atol=1e-5)  # the crop has half of the side
    assert rows[:, 0].min() < 0.05 and rows[:, -1].max() > 0.95
    assert np.all(np.diff(rows, axis=1) >= -1e-6)


def test_blur_is_the_gaussian_that_its_sigma_names(films):
    """The edges differ from SciPy's: there the weights of the pixels inside are normalised."""
    blurred = np.asarray(appearance._blurred(jnp.asarray(films[0, ..., 0]), 1.5))
    expected = gaussian_filter(films[0, ..., 0], 1.5, truncate=6)
    np.testing.assert_allclose(blurred[8:-8, 8:-8], expected[8:-8, 8:-8], atol=1e-5)
    np.testing.assert_allclose(appearance._gaussian(SIDE, 1.5).sum(1), 1, rtol=1e-6)


def test_an_even_film_stays_even_under_all_that_only_averages():
    even = jnp.full((6, SIDE, SIDE, 1), 0.4)
    shown = compiled(blur=3.0, sharpen=2.0, downscale=0.3, jpeg=0.0)
    np.testing.assert_allclose(shown(even, keys()), 0.4, atol=1e-5)


def test_downscaling_loses_details_finer_than_a_pixel_of_the_smaller_film():
    stripes = jnp.broadcast_to((jnp.arange(SIDE) % 2.0)[None, :, None, None], (6, SIDE, SIDE, 1))
    shown = compiled(downscale=0.1)(stripes, keys(epoch=2))
    assert np.asarray(shown).std(axis=(1, 2, 3)).min() < 0.1 < 0.5


def test_jpeg_is_coarser_than_nothing_and_keeps_the_mean_of_blocks(films):
    coarse = jax.jit(appearance._jpeg)(jnp.asarray(films[0, ..., 0]), jax.random.key(1), 1.0)
    blocks = [np.asarray(a).reshape(5, 8, 5, 8) for a in (films[0, ..., 0], coarse)]
    means = [block.mean((1, 3)) for block in blocks]
    # A block's mean is its first coefficient / 8, which is rounded by up to half of a step of 80.
    np.testing.assert_allclose(*means, atol=80 / 2 / 8 / 255 + 1e-5)
    assert np.abs(blocks[0] - blocks[1]).max() > 0.02


def test_erasing_puts_in_one_rectangle_of_one_grey():
    film = jax.random.uniform(jax.random.key(0), (SIDE, SIDE))
    shown = np.asarray(jax.jit(appearance._erase)(film, jax.random.key(5), 1.0))
    rows, columns = np.nonzero(shown != np.asarray(film))
    inside = shown[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert np.unique(inside).size == 1 and 0 < inside.size < 0.25 * SIDE**2


@pytest.mark.slow
def test_mixup_takes_at_most_half_of_the_partner_and_mixes_labels_alike():
    ours, theirs = jnp.ones((50, 2, 2, 1)), jnp.zeros((50, 2, 2, 1))
    mix = jax.jit(mixup, static_argnames="alpha")
    images, labels = mix(ours, jnp.ones(50), theirs, jnp.zeros(50), keys(count=50), alpha=0.4)
    np.testing.assert_allclose(images[:, 0, 0, 0], labels, rtol=1e-6)
    assert labels.min() >= 0.5 and labels.max() <= 1 and labels.std() > 0.05
