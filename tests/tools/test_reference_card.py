"""The released network against the model card."""

import json
import os
from pathlib import Path

import pytest

from benchmarks import film_sizes
from pneumojax.configs import reference
from pneumojax.inference.trained_run import open_run
from pneumojax.run.stored_config import read_config
from tools.docs.places import REFERENCE, ROOT

CARD = json.loads((REFERENCE / "card.json").read_text())
RELEASED = ROOT / "models" / "reference"


def test_the_released_network_is_of_the_reference_config_and_small():
    config = reference.get_config()
    stored = read_config(RELEASED)
    for group in ("model", "augment", "optimizer", "loss", "average"):
        for name, value in config[group].to_dict().items():
            assert json.dumps(stored[group][name]) == json.dumps(value), f"{group}.{name}"
    assert (stored.epochs, stored.batch_size) == (config.epochs, config.batch_size)
    size = sum(path.stat().st_size for path in RELEASED.rglob("*") if path.is_file())
    assert size < 5_000_000


def test_the_released_decision_is_the_cards():
    trained = open_run(RELEASED)
    assert trained.decision._asdict() == CARD["released"]["decision"]
    assert trained.meta["release"]["calls_changed_by_float16"] == 0


REAL = Path(os.environ.get("PNEUMOJAX_FILMS", ROOT.parent / "shared" / "data"))


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real films here; PNEUMOJAX_FILMS names a folder")
def test_a_films_file_size_moves_its_logit_by_less_than_the_card_says(tmp_path):
    folders = [REAL / "chest_xray_224", REAL / "chest_xray_full_sample"]
    found = film_sizes.compare(open_run(RELEASED), folders, tmp_path)
    assert found["films"] == 144
    assert found["logit_difference_largest"] < 0.25
    assert found["calls_changed"] == 0
    assert (
        "differ by less than 0.25 on all 144" in (ROOT / "docs" / "reference_model.md").read_text()
    )
