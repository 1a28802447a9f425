import csv

import numpy as np
import pytest
import scipy.ndimage

from pneumojax.data import styles
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.film_statistics import pixel_statistics
from pneumojax.data.films import find_films
from pneumojax.data.hold_out import divide_by_group
from pneumojax.data.naming import KERMANY
from pneumojax.data.splits import load_splits
from pneumojax.data.styles import described_by_class, styles_of
from pneumojax.data.table_writing import Styles, write_table
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError


@pytest.fixture(scope="module")
def films(films_root, cache_dir):
    cache = FilmCache(cache_dir, log=lambda _: None)
    return load_split(
        find_films(films_root), "train", Preprocessing(64), cache, max_rejected_fraction=0
    )


@pytest.fixture
def table(films_root, cache_dir, tmp_path):
    path = tmp_path / "films.csv"
    cache = FilmCache(cache_dir, log=lambda _: None)
    write_table(films_root, path, KERMANY, Styles(2, cache))
    return path


def described(pixels, sizes):
    others = dict.fromkeys(("width", "height"), np.full(len(pixels), 64.0))
    return pixel_statistics(pixels) | others | {"file_size": sizes}


def test_films_of_two_machines_are_told_apart_and_classes_are_not(films, monkeypatch):
    patients = np.unique(films.patients, return_inverse=True)[1]
    soft = patients % 2 == 1
    pixels = films.pixels(np.arange(len(films)))
    blurred = scipy.ndimage.gaussian_filter(pixels, (0, 3, 3))
    seen = np.where(soft[:, None, None], blurred, pixels)
    monkeypatch.setattr(
        styles, "film_statistics", lambda films: described(seen, np.full(len(films), 9_000.0))
    )
    style = styles_of(films, 2)
    agreement = np.mean((style == 1) == soft)
    assert max(agreement, 1 - agreement) == 1
    assert len(np.unique(films.labels[style == 1])) == 2


def test_a_constant_difference_between_the_classes_is_no_style():
    labels = np.array([0, 0, 0, 1, 1, 1])
    statistics = {name: np.tile([1.0, 2.0, 3.0], 2) for name in styles._DESCRIBED}
    moved = {name: values + 50 * labels for name, values in statistics.items()}
    moved |= {name: statistics[name] for name, takes_log in styles._DESCRIBED.items() if takes_log}
    found = described_by_class(moved, labels)
    np.testing.assert_allclose(found, described_by_class(statistics, labels))


def test_the_films_of_a_patient_have_one_style_and_frequent_styles_come_first(films):
    style = styles_of(films, 3)
    assert all(len({*style[np.array(films.patients) == who]}) == 1 for who in set(films.patients))
    counts = np.bincount(style)
    assert len(counts) == 3 and list(counts) == sorted(counts, reverse=True)
    np.testing.assert_array_equal(style, styles_of(films, 3))


def test_more_styles_than_patients_are_refused(films):
    with pytest.raises(UserError, match="cannot have 9999 styles"):
        styles_of(films, 9999)


def test_a_table_has_styles_of_training_films_and_folds_hold_them_out(
    table, films_root, config, cache_dir
):
    with open(table) as file:
        rows = list(csv.DictReader(file))
    assert {row["style"] for row in rows if row["split"] == "train"} == {"style 1", "style 2"}
    assert {row["style"] for row in rows if row["split"] == "test"} == {""}
    with config.unlocked():
        config.data.table, config.data.root = str(table), str(films_root)
        config.data.fold_by, config.data.folds, config.data.fold = "style", 2, 1
    splits = load_splits(config, cache_dir, log=lambda _: None)
    assert splits.validation is not None
    assert set(splits.validation.columns["style"]) == {"style 2"}
    assert set(splits.train.columns["style"]) == {"style 1"}


@pytest.mark.parametrize(
    ("column", "folds", "message"),
    [
        ("style", 3, "column 'style' has 2 groups, and each is a fold: use 2"),
        ("site", 2, "config.data.fold_by is 'site'.*the films have 'style'"),
    ],
)
def test_folds_that_the_column_does_not_have_are_refused(
    column, folds, message, table, films_root, config, cache_dir
):
    with config.unlocked():
        config.data.table, config.data.root = str(table), str(films_root)
        config.data.fold_by, config.data.folds = column, folds
    with pytest.raises(UserError, match=message):
        load_splits(config, cache_dir, log=lambda _: None)


def test_patients_who_share_a_film_go_to_the_group_of_most_of_their_films():
    patients, digests = ["a", "a", "b", "c", "d"], ["1", "2", "2", "3", "4"]
    labels = np.array([1, 1, 0, 0, 1])
    fold = divide_by_group(patients, labels, digests, np.array([0, 0, 1, 1, 1]))
    assert fold.tolist() == [0, 0, 0, 1, 1]


def test_a_group_without_a_film_of_a_class_is_refused():
    with pytest.raises(UserError, match=r"leave one without a film of config\.data\.negative"):
        divide_by_group(["a", "b", "c"], np.array([1, 0, 1]), ["1", "2", "3"], np.array([0, 0, 1]))
