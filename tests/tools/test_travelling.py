"""A threshold that travels: fitted on films of styles that the networks did not see."""

import csv

import numpy as np
import pytest

from pneumojax.cli.parsing import parse
from pneumojax.cli.verbs import VERBS
from pneumojax.configs import base
from pneumojax.data.cache import FilmCache
from pneumojax.data.naming import KERMANY
from pneumojax.data.table_writing import Styles, write_table
from pneumojax.errors import UserError
from pneumojax.evaluation.audits.perturbations import PERTURBATIONS
from pneumojax.evaluation.audits.stress import STRESSES
from pneumojax.inference.predictor import Predictor
from pneumojax.training.loop import train
from tools import travelling
from tools.style_networks import training, write_tables
from tools.travelling import Scores


@pytest.fixture(scope="module")
def tables(films_root, cache_dir, tmp_path_factory):
    """A table of 70 films for each of two styles, in which the films of the style are "test"."""
    folder = tmp_path_factory.mktemp("tables")
    write_table(films_root, folder / "films.csv", KERMANY, Styles(2, FilmCache(cache_dir)))
    return write_tables(folder / "films.csv", folder)


@pytest.fixture(scope="module")
def runs(tables, films_root, cache_dir, tmp_path_factory):
    """The run of each table, after one short epoch."""
    folder = tmp_path_factory.mktemp("runs")
    for table in tables:
        config = base.get_config()
        fields = {
            "data.root": str(films_root),
            "data.table": str(table),
            "data.image_size": 32,
            "model.stem": (4, 4, 8),
            "model.modules": ((4, 4, 4, 2, 4, 4),),
            "batch_size": 16,
            "epochs": 1,
            "log.tensorboard": False,
        }
        config.update_from_flattened_dict(fields)
        train(config.lock(), folder / table.stem, cache_dir)
    return sorted(folder.iterdir())


@pytest.mark.slow  # writes and reads 70 films three times
def test_each_style_is_left_out_of_one_table(tables):
    by_table = [list(csv.DictReader(path.read_text().splitlines())) for path in tables]
    assert [path.stem for path in tables] == ["without_style_1", "without_style_2"]
    for number, rows in enumerate(by_table, 1):
        tests = {row["split"] == "test" for row in rows if row["style"] == f"style {number}"}
        trains = {row["split"] == "train" for row in rows if row["style"] != f"style {number}"}
        assert len(rows) == 70 and tests == trains == {True}


def drawn(kind, style, shift=0.0, films=2000):
    """Scores of films half of which are ill, with logits that are higher by `shift`."""
    rng = np.random.default_rng([len(kind), ord(style)])
    labels = np.arange(films) % 2
    logits = rng.normal(4.0 * labels - 2.0, 1.0) + shift
    return Scores(labels, logits, np.full(films, style), np.full(films, kind, object))


def test_a_kind_of_film_with_higher_logits_raises_the_threshold_however_few_it_has():
    plain = travelling.together([drawn("validation", "a"), drawn("validation", "b")])
    shifted = travelling.together([plain, drawn("b", "b", shift=1.0, films=200)])
    usual, careful = travelling.decide(plain), travelling.decide(shifted)
    assert usual.rule == careful.rule == "worst_case"
    moved = np.log(careful.threshold / (1 - careful.threshold)) * careful.temperature
    before = np.log(usual.threshold / (1 - usual.threshold)) * usual.temperature
    # Halfway between the kinds, sensitivity on the one equals specificity on the other.
    assert moved - before == pytest.approx(0.5, abs=0.2)


@pytest.mark.slow  # trains two networks
def test_the_fit_sees_validation_unseen_and_degraded_films_on_the_scale_of_each_run(
    runs, cache_dir
):
    decision, found = travelling.fit(runs, runs[0], cache_dir)
    opened = [Predictor.open([run]) for run in runs]
    settings = sum(len(PERTURBATIONS[name].levels) for name in STRESSES)
    assert decision.films == 70 * (settings + 1) + sum(run.decision.films for run in opened)
    assert [(group.name, group.films) for group in found.groups] == [
        (f"style {number}", sum(scores.kind == f"style {number}"))
        for number, scores in enumerate(
            [travelling.together(list(travelling.scores_of(run, cache_dir))) for run in runs], 1
        )
    ]
    assert sum(group.films for group in found.groups) == 70
    own = opened[0].decision.temperature
    other, _ = travelling.fit(runs, runs[1], cache_dir)
    scaled = decision.temperature / own * opened[1].decision.temperature
    assert other == decision._replace(temperature=pytest.approx(scaled))


@pytest.mark.slow  # trains two networks
def test_a_style_that_every_run_saw_is_named(runs, cache_dir):
    with pytest.raises(UserError, match="no run was trained without style 2"):
        travelling.fit(runs[:1], runs[0], cache_dir)


@pytest.mark.parametrize("recipe, epochs", [("distilled", 4), ("reference", 9)])
def test_a_recipe_is_trained_on_the_table_of_a_style_for_fewer_epochs(recipe, epochs, tmp_path):
    flags = training(recipe, tmp_path / "t.csv", tmp_path, tmp_path / "w.h5", tmp_path / "run")
    command = parse(flags, tuple(VERBS))
    config = command.config()
    assert command.verb == "train" and config.name == recipe and config.epochs == epochs
    assert config.data.table == str(tmp_path / "t.csv") and config.data.root == str(tmp_path)
    assert (config.start.weights == str(tmp_path / "w.h5")) == (recipe == "distilled")
