"""The share of the evidence inside the thorax, on maps whose share is known."""

import numpy as np
import pytest
from PIL import Image

from pneumojax.data.classes import CLASS_NAMES
from pneumojax.data.phantom import draw
from pneumojax.evaluation.audits.evidence import (
    Evidence,
    FilmEvidence,
    evidence_by_class,
    evidence_in_thorax,
)
from pneumojax.evaluation.audits.thorax import find_thorax
from pneumojax.stats.estimates import Bootstrap

BOOTSTRAP = Bootstrap("patient", 50)


@pytest.fixture(scope="module")
def film():
    whole = draw(5, 1, 1, "none").film
    return np.asarray(Image.fromarray(whole).resize((96, 96), Image.Resampling.BOX))


def test_the_share_is_that_of_the_map_within_the_mask(film):
    (thorax,) = find_thorax(film[None])
    even, inside, empty = np.ones(film.shape), thorax, np.zeros(film.shape)
    maps = np.stack([even, inside, ~thorax, empty, even]).astype(np.float32)
    films = np.stack([film] * 4 + [np.zeros_like(film)])  # no thorax on the last
    found = evidence_in_thorax(films, maps)
    np.testing.assert_allclose(found.shares, [thorax.mean(), 1, 0, np.nan, np.nan], atol=1e-6)
    np.testing.assert_allclose(found.areas, [thorax.mean()] * 4 + [np.nan])
    assert found.has_map.tolist() == [True, True, True, False, True]


def test_classes_count_every_film_once_and_average_those_that_have_a_share():
    nan = np.nan
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = FilmEvidence(
        has_map=np.array([True, True, False, True, True, True]),
        shares=np.array([0.2, 0.4, nan, nan, 0.5, 0.7]),
        areas=np.array([0.3, 0.5, nan, nan, 0.4, 0.4]),
    )
    normal, ill = evidence_by_class(labels, found, np.arange(6), BOOTSTRAP, CLASS_NAMES)
    assert (normal.films, normal.without_map, normal.without_thorax) == (3, 1, 0)
    assert (ill.films, ill.without_map, ill.without_thorax) == (3, 0, 1)
    assert normal.share.value == pytest.approx(0.3) and normal.area == pytest.approx(0.4)
    assert ill.share.value == pytest.approx(0.6)
    assert 0.5 <= ill.share.low <= ill.share.high <= 0.7


def test_a_class_without_any_map_is_undefined_and_said(film):
    nothing = FilmEvidence(np.zeros(2, bool), np.full(2, np.nan), np.full(2, 0.4))
    classes = evidence_by_class(np.array([0, 1]), nothing, np.arange(2), BOOTSTRAP, CLASS_NAMES)
    finding = Evidence(classes, BOOTSTRAP)
    assert "undefined (no interval)" in str(finding.section().tables[0].rows)
    assert finding.record()["evidence"]["classes"][0]["share"]["value"] is None
