"""The released network against the model card."""

import json
import os
from pathlib import Path

import jax
import pytest

from benchmarks import film_sizes
from pneumojax.configs import reference
from pneumojax.inference.trained_run import open_run
from pneumojax.run.seal import digest
from pneumojax.run.stored_config import read_config
from tools.docs.places import REFERENCE, ROOT

CARD = json.loads((REFERENCE / "card.json").read_text())
RELEASED, SECOND, FIRST = (
    ROOT / "models" / name for name in ("reference", "reference_2", "reference_1")
)


def test_the_first_released_network_is_of_the_reference_config():
    config = reference.get_config()
    stored = read_config(FIRST)
    for group in ("model", "augment", "optimizer", "loss", "average"):
        for name, value in config[group].to_dict().items():
            assert json.dumps(stored[group][name]) == json.dumps(value), f"{group}.{name}"
    assert (stored.epochs, stored.batch_size) == (config.epochs, config.batch_size)


def test_the_released_network_is_small_and_one_half_of_it_is_the_first():
    assert sum(path.stat().st_size for path in RELEASED.rglob("*") if path.is_file()) < 5_000_000
    params = open_run(RELEASED).params
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) < 2_000_000
    (half,) = [params["networks"][name] for name in params["networks"] if name == "from_scratch"]
    assert digest(half) == digest(open_run(FIRST).params)


def test_the_second_released_network_has_the_same_weights_without_further_views():
    now, before = open_run(RELEASED), open_run(SECOND)
    assert now.meta["digests"] == before.meta["digests"]
    assert (now.network.views, before.network.views) == (("flip", "zoom"), ())


@pytest.mark.parametrize(
    "folder, name",
    [(RELEASED, "released"), (SECOND, "reference_2"), (FIRST, "reference_1")],
)
def test_the_released_decision_is_the_cards(folder, name):
    trained = open_run(folder)
    assert trained.decision._asdict() == CARD[name]["decision"]
    assert trained.meta["release"]["calls_changed_by_float16"] == 0


REAL = Path(os.environ.get("PNEUMOJAX_FILMS", ROOT.parent / "shared" / "data"))


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="no real films here; PNEUMOJAX_FILMS names a folder")
def test_a_films_file_size_moves_its_logit_by_less_than_the_card_says(tmp_path):
    folders = [REAL / "chest_xray_224", REAL / "chest_xray_full_sample"]
    found = film_sizes.compare(open_run(RELEASED), folders, tmp_path)
    assert found["films"] == 144
    assert found["logit_difference_largest"] < 0.4
    assert found["calls_changed"] == 0
    assert (
        "differ by less than 0.4 on all 144" in (ROOT / "docs" / "reference_model.md").read_text()
    )
