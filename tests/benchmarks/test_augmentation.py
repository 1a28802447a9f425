"""The stored record has every ingredient of augmentation."""

import json

from benchmarks.augmentation import STORED, variants
from pneumojax.configs import base


def test_every_ingredient_that_changes_a_film_is_measured():
    fields = set(base.get_config().augment) - {"size", "probability", "mixup", "shift"}
    changed = {
        field
        for settings in variants().values()
        for field, value in settings.items()
        if value != base.get_config().augment[field]
    }
    assert fields <= changed and set(json.loads(STORED.read_text())["milliseconds"]) == set(
        variants()
    )
