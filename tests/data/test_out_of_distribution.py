"""Pictures that are not chest films cause warnings, and drawn films hardly ever do."""

import json

import numpy as np
import pytest
from PIL import Image

from pneumojax.data import out_of_distribution
from pneumojax.data.out_of_distribution import (
    TrainingDistribution,
    fit,
    fit_distribution,
    statistics,
    warnings_about,
)
from pneumojax.decoding.formats import AnyFilm


@pytest.fixture(scope="module")
def films(drawings):
    """uint8 (260, 32, 32) of drawn films."""
    return np.stack([np.asarray(Image.fromarray(film).resize((32, 32))) for _, film in drawings])


class Films:
    """Has the part of `FilmSet` that the fit uses."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def pixels(self, chosen):
        return self.images[chosen]


def film(pixels, width=300, height=300, colour=0.0, lateral=False):
    return AnyFilm(pixels, width, height, colour, lateral)


def test_few_films_like_the_training_ones_are_warned_of_and_all_others_are(films):
    order = np.random.default_rng(0).permutation(len(films))
    fitted = TrainingDistribution(**fit_distribution(Films(films[order[:200]])))
    held_out = films[order[200:]]
    share = np.mean(fitted.distances(held_out) > fitted.limit)
    assert share <= 0.1  # one of 200 films lies beyond the quantile 0.995
    noise = np.random.default_rng(1).integers(0, 256, held_out.shape).astype(np.uint8)
    for others in (255 - held_out, np.rot90(held_out, axes=(1, 2)), noise):
        assert np.mean(fitted.distances(others) > fitted.limit) > 0.95


def test_a_fit_is_the_same_each_time_and_survives_json(films):
    first, again = fit_distribution(Films(films)), fit_distribution(Films(films))
    assert json.dumps(first) == json.dumps(again)
    read = TrainingDistribution(**json.loads(json.dumps(first)))
    np.testing.assert_array_equal(
        read.distances(films), TrainingDistribution(**first).distances(films)
    )


def test_the_limit_is_the_quantile_of_the_films_it_was_fitted_on(films):
    fitted = TrainingDistribution(**fit_distribution(Films(films)))
    assert fitted.films == len(films)
    assert np.sum(fitted.distances(films) > fitted.limit) == 2  # 0.5 % of 260


def test_distances_are_mahalanobis(films):
    described = statistics(films)
    fitted = fit(described)
    inverse = np.linalg.pinv(np.cov(described, rowvar=False))
    deviations = described - described.mean(axis=0)
    exact = np.sqrt(np.einsum("ni,ij,nj->n", deviations, inverse, deviations))
    bounded = fitted.distances(films)
    assert np.all(bounded <= exact * (1 + 1e-6))  # the floor reduces directions of small variance
    assert np.corrcoef(bounded, exact)[0, 1] > 0.9


def test_too_few_films_fit_nothing_and_many_are_thinned_out(films, monkeypatch):
    assert fit_distribution(Films(films[:199])) is None
    monkeypatch.setattr(out_of_distribution, "MOST_FILMS", 220)
    assert fit_distribution(Films(films))["films"] == 220


def test_statistics_do_not_change_with_brightness_but_for_those_that_measure_it(films):
    plain, dimmed = statistics(films[:5]), statistics(films[:5] // 2)
    profiles = slice(2, 2 + 2 * out_of_distribution.BANDS + 1)
    # Halving integer grey levels rounds them.
    np.testing.assert_allclose(plain[:, profiles], dimmed[:, profiles], atol=0.05)
    assert np.all(np.abs(plain[:, 0] - 2 * dimmed[:, 0]) < 0.01)


def test_each_warning_has_its_cause(films):
    fitted = TrainingDistribution(**fit_distribution(Films(films)))
    usual = films[int(np.argmin(fitted.distances(films)))]
    pictures = [
        film(usual),
        film(usual, colour=30.0),
        film(usual, lateral=True),
        film(usual, height=31),
        film(np.full((32, 32), 90, np.uint8)),
        film(255 - usual),
    ]
    *known, far = warnings_about(pictures, fitted)
    tiny = "tiny: 300 x 31 pixels, the network sees 32 x 32"
    lateral = "a lateral view by its DICOM header; the network is meant for frontal films"
    assert known == [[], ["a colour picture"], [lateral], [tiny], ["blank"]]
    assert len(far) == 1 and far[0].startswith("unlike the training films (")
    assert warnings_about(pictures, None) == [*known, []]
    assert warnings_about([], fitted) == []
