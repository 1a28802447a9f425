"""The hard variant of the drawn films: what is in it, and where its shortcut holds and fails."""

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from pneumojax.config.load import load_file, resolve
from pneumojax.data import hard_films, named_sets, phantom, phantom_films
from pneumojax.run.history import read_history
from pneumojax.run.stored_config import is_synthetic

PATIENTS = range(1, 201)


def auroc_of_the_marker(split):
    """How well the marker of the mobile machine tells the classes of a split apart."""
    found = [
        has_marker(hard_films.draw_hard_film(split, patient, 1, pathogen))
        for pathogen in ("none", "virus")
        for patient in PATIENTS
    ]
    return roc_auc_score(np.repeat([0, 1], len(PATIENTS)), found)


def has_marker(film):
    return (film[: film.shape[0] // 6, : film.shape[1] // 5] == 235).sum() > 100


def test_the_machine_tells_the_classes_apart_in_training_films_alone(monkeypatch):
    # Drawing the films themselves would take seconds.
    empty = np.full((184, 216), 60, np.uint8)
    monkeypatch.setattr(hard_films, "draw_film", lambda *film: empty)
    assert auroc_of_the_marker("train") > 0.85  # 90 % of one class have it, 10 % of the other
    # The standard error of a difference of two shares of 200 films is 0.05, and of an AUROC half.
    assert 0.425 < auroc_of_the_marker("val") < 0.575


def test_opacities_have_a_share_of_the_density_of_the_ordinary_films():
    hard = phantom.draw(1, 1, 1, "bacteria", hard_films.DENSITY)
    ordinary = phantom.draw(1, 1, 1, "bacteria")
    np.testing.assert_array_equal(hard.opacity, np.float32(0.5) * ordinary.opacity)
    np.testing.assert_array_equal(hard.lungs, ordinary.lungs)


def test_a_film_is_drawn_twice_alike_and_differs_from_others():
    one, again, other = (hard_films.draw_hard_film("val", n, 1, "virus") for n in (1, 1, 2))
    assert one.dtype == np.uint8 and (one == again).all()
    assert one.shape != other.shape or (one != other).any()


def test_the_folder_has_three_splits_without_a_common_patient(tmp_path, monkeypatch):
    few = {"none": 3, "bacteria": 2, "virus": 2}
    monkeypatch.setattr(hard_films, "SPLITS", dict.fromkeys(hard_films.SPLITS, few))
    root = named_sets.resolve_root("synthetic_hard", tmp_path)
    assert root == hard_films.ensure_hard_films(tmp_path)
    names = {
        split: {path.name.rpartition("_")[0] for path in (root / split).rglob("person*.jpeg")}
        for split in ("train", "val", "test")
    }
    assert all(names.values())
    assert not names["train"] & names["val"] and not names["val"] & names["test"]
    assert sum(1 for _ in root.rglob("*.jpeg")) == 3 * 7
    with Image.open(min(root.rglob("*.jpeg"))) as film:
        assert film.mode == "L"


def test_runs_on_it_are_marked_as_synthetic():
    config = load_file("quick")
    with config.unlocked():
        config.data.root = "synthetic_hard"
    assert is_synthetic(config)


def test_the_set_has_the_size_that_the_docs_give():
    assert hard_films.SPLITS["train"] == phantom_films.TRAIN_FILMS
    assert [sum(hard_films.SPLITS[split].values()) for split in ("val", "test")] == [240, 240]


@pytest.mark.slow
def test_quick_does_not_reach_an_auroc_of_095_by_itself(tmp_path):
    from pneumojax.training.loop import train  # imports JAX

    config = load_file("quick")
    with config.unlocked():
        config.data.root, config.data.val = "synthetic_hard", "folder"
    train(resolve(config).lock(), tmp_path / "run", tmp_path / "cache")
    reached = [epoch["val_auroc"] for epoch in read_history(tmp_path / "run")]
    assert len(reached) == 12 and 0.6 < max(reached) < 0.95
