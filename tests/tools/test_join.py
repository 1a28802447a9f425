"""A joined run answers with the mean of its runs' calibrated logits."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.inference.predictor import Predictor
from tests.support.untrained import make_run
from tools.join import join
from tools.views import with_views


@pytest.fixture(scope="module")
def runs(tmp_path_factory, films_root, cache_dir):
    """Two runs whose parameters differ, on films of one size so that the mean is exact."""
    from pneumojax.configs import base

    folder = tmp_path_factory.mktemp("runs")
    made = []
    for name, scale in (("weak", 1.0), ("strong", 1.5)):
        config = base.get_config()
        config.data.root, config.data.image_size = str(films_root), 32
        config.model.stem, config.model.modules = (4, 4, 8), ((4, 4, 4, 2, 4, 4),)
        config.batch_size = 16
        made.append(make_run(folder / name, config.lock(), cache_dir, scale))
    return dict(zip(("weak", "strong"), made, strict=True))


@pytest.mark.slow  # opens five runs
def test_a_joined_run_gives_the_mean_of_the_calibrated_logits(runs, cache_dir, tmp_path):
    join(runs, tmp_path / "joined", cache_dir)
    joined = Predictor.open([tmp_path / "joined"])
    logits = []
    for run in [*map(Predictor.open, ([run] for run in runs.values())), joined]:
        films = load_splits(run.first.config, cache_dir).validation
        logits.append(run.logits(films)[0])
    weak, strong, mean = logits
    temperature = 2.0  # of both runs
    np.testing.assert_allclose(mean, (weak + strong) / 2 / temperature, rtol=1e-4)
    assert np.abs(weak - strong).max() > 0.1
    assert joined.decision.films == len(mean)
    assert joined.first.config.model.networks.strong.temperature == temperature
    origins = json.loads((tmp_path / "joined" / "joined.json").read_text())
    assert list(origins) == ["weak", "strong"] and all("params" in o for o in origins.values())


@pytest.mark.slow  # makes another run
def test_runs_that_held_out_other_films_are_refused(runs, cache_dir, tmp_path):
    from pneumojax.run.stored_config import read_config

    config = read_config(runs["weak"]).unlock()
    config.data.split_seed += 1
    other = make_run(tmp_path / "other", config.lock(), cache_dir)
    with pytest.raises(UserError, match="'other' has other films, or held out others"):
        join({"weak": runs["weak"], "other": other}, tmp_path / "joined", cache_dir)
    assert not (tmp_path / "joined").exists()


@pytest.mark.slow  # opens four runs
def test_views_change_the_logits_and_the_decision_of_a_joined_run_alone(runs, cache_dir, tmp_path):
    from pneumojax.inference.network import VIEWS

    join(runs, tmp_path / "joined", cache_dir)
    with_views(tmp_path / "joined", ("flip",), tmp_path / "flipped", cache_dir)
    plain, flipped = (Predictor.open([tmp_path / name]) for name in ("joined", "flipped"))
    films = load_splits(plain.first.config, cache_dir).validation
    mirrored = replace(films, images=np.asarray(VIEWS["flip"](films.images[..., None]))[..., 0])
    wanted = (plain.logits(films)[0] + plain.logits(mirrored)[0]) / 2
    np.testing.assert_allclose(flipped.logits(films)[0], wanted, rtol=1e-4, atol=1e-5)
    assert flipped.first.meta["digests"] == plain.first.meta["digests"]
    assert flipped.decision != plain.decision
    origins = [(tmp_path / name / "joined.json").read_text() for name in ("joined", "flipped")]
    assert origins[0] == origins[1]


def test_views_are_refused_for_a_run_that_was_not_joined(runs, cache_dir, tmp_path):
    with pytest.raises(UserError, match="'weak' was not made by tools.join"):
        with_views(runs["weak"], ("flip",), tmp_path / "flipped", cache_dir)
    assert not (tmp_path / "flipped").exists()
