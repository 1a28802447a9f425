"""The page on augmentation shows the stored figures of every ingredient."""

import json

from benchmarks.augmentation import BEGIN, END, PAGE, STORED, render, variants
from configs import base


def test_the_page_shows_what_is_stored():
    shown = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert shown.strip() == render(json.loads(STORED.read_text())).strip()


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
