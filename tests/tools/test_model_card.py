"""The card that a released network comes with, and the comparison of its views."""

import json

import numpy as np

from pneumojax.stats.metrics import auroc
from tools.compare_views import mean_auroc, resampled
from tools.docs.places import REFERENCE
from tools.model_card import STORED, card


def test_the_card_of_the_released_network_is_that_of_the_records():
    found, elsewhere = (
        json.loads((REFERENCE / f"{name}.json").read_text()) for name in ("card", "elsewhere")
    )
    assert json.loads(STORED.read_text()) == card(found, elsewhere["reference"])


LABELS = np.array([0, 0, 1, 1, 0, 0, 0, 1])
PROJECTIONS = np.array(["AP"] * 4 + ["PA"] * 4)
LOGITS = np.array([0.1, 0.2, 0.3, 0.4, 5.0, 6.0, 7.0, 5.5])


def test_the_mean_auroc_never_compares_films_of_different_projections():
    found = mean_auroc(LABELS, LOGITS, PROJECTIONS, np.arange(8))
    assert found == (1.0 + 1 / 3) / 2 != auroc(LABELS, LOGITS)


def test_films_are_drawn_within_each_class_and_projection():
    rows = resampled(LABELS, PROJECTIONS, np.random.default_rng(0))
    for label in (0, 1):
        for projection in ("AP", "PA"):
            group = (label == LABELS) & (projection == PROJECTIONS)
            assert group[rows].sum() == group.sum()
    assert len(set(rows.tolist())) < 8  # with replacement
