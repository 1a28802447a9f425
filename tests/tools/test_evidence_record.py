"""The pointing game, and the record of where the released network's evidence lies."""

import json

import numpy as np

from pneumojax.data.phantom import draw
from tools.docs import reference_card
from tools.docs.places import REFERENCE
from tools.record_evidence import pointing_game


def test_maps_of_the_opacity_hit_it_and_maps_of_the_opposite_place_miss():
    opacity = np.stack([draw(1, patient, 1, "bacteria").opacity[:180, :200] for patient in (1, 2)])
    targets = opacity > 0.5
    game = pointing_game(opacity, targets)
    assert game.hits.value == 1 and game.films == 2
    assert pointing_game(opacity.max() - opacity, targets).hits.value == 0
    assert game.chance == targets.mean()


def test_a_film_without_a_map_is_no_hit_and_is_counted():
    targets = np.ones((2, 4, 4), bool)
    maps = np.stack([np.zeros((4, 4), np.float32), np.eye(4, dtype=np.float32)])
    game = pointing_game(maps, targets)
    assert (game.without_map, game.hits.n, game.hits.value, game.centre) == (1, 1, 1, 1)


def test_the_card_says_what_the_record_says():
    record = json.loads((REFERENCE / "evidence.json").read_text())
    page = reference_card.rendered("evidence")
    assert f"{record['pointing']['hits']['value']:.3f}" in page
    for evaluation in record["evaluations"]:
        for row in evaluation["classes"]:
            assert f"{row['share']['value']:.3f}" in page
