import numpy as np
import pytest
import scipy.ndimage

from pneumojax.data import film_statistics
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.film_statistics import STATISTICS, pixel_statistics
from pneumojax.data.films import find_films
from pneumojax.decoding.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def films(films_root, cache_dir):
    return load_split(
        find_films(films_root),
        "test",
        Preprocessing(32),
        FilmCache(cache_dir, log=lambda _: None),
        max_rejected_fraction=0,
    )


@pytest.fixture(scope="module")
def images():
    images = np.random.default_rng([0]).integers(0, 256, (5, 41, 41)).astype(np.uint8)
    images[3] = 255  # the widest sums
    images[4, ::2] = 255
    images[4, 1::2] = 0
    return images


def test_pixel_statistics_are_their_definitions(images):
    found = pixel_statistics(images)
    for i, image in enumerate(images.astype(float)):
        laplacian = scipy.ndimage.laplace(image)[1:-1, 1:-1]
        border = np.concatenate(
            [
                image[:2].ravel(),
                image[-2:].ravel(),
                image[2:-2, :2].ravel(),
                image[2:-2, -2:].ravel(),
            ]
        )
        expected = {
            "sharpness": laplacian.var(),
            "vertical_difference": np.abs(np.diff(image, axis=0)).mean(),
            "brightness": image.mean(),
            "contrast": image.std(),
            "dark_border": np.mean(border < 16),
            "bright_border": np.mean(border >= 240),
        }
        assert {name: v[i] for name, v in found.items()} == pytest.approx(expected, rel=1e-9)


def test_a_film_counts_alike_in_any_company_and_sharpness_falls_with_blur(images):
    together = pixel_statistics(images)
    for i in range(len(images)):
        for name, value in pixel_statistics(images[i : i + 1]).items():
            assert value[0] == together[name][i]
    soft = scipy.ndimage.gaussian_filter(images, (0, 1, 1))
    assert (pixel_statistics(soft)["sharpness"][:3] < together["sharpness"][:3]).all()


def test_every_statistic_is_told_of_every_film_block_by_block(films, monkeypatch):
    whole = film_statistics.film_statistics(films)
    assert whole.keys() == STATISTICS.keys()
    assert all(v.shape == (len(films),) and v.dtype == np.float64 for v in whole.values())
    sizes = [(films.root / path).stat().st_size for path in films.paths]
    np.testing.assert_array_equal(whole["file_size"], sizes)
    np.testing.assert_array_equal(whole["width"], films.sizes[:, 0])
    np.testing.assert_allclose(whole["aspect"], films.sizes[:, 0] / films.sizes[:, 1])
    monkeypatch.setattr(film_statistics, "_BLOCK", 3 * 32 * 32)  # three films at a time
    blocks = film_statistics.film_statistics(films)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, blocks[name])


def test_films_chosen_from_a_set_keep_their_own_statistics(films):
    whole = film_statistics.film_statistics(films)
    some = film_statistics.film_statistics(films.select(np.array([5, 2])))
    for name, values in whole.items():
        np.testing.assert_array_equal(some[name], values[[5, 2]])
    none = film_statistics.film_statistics(films.select(np.zeros(len(films), bool)))
    assert {v.shape for v in none.values()} == {(0,)}
