"""Synthetic films are reproducible, have the real layout and offer no shortcut."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pneumojax.data import phantom, phantom_films
from pneumojax.data.patients import identify
from pneumojax.errors import UserError

FEW = {"none": 8, "bacteria": 7, "virus": 6}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films")
    phantom_films.write_films(root, train=FEW, test=FEW)
    return root


@pytest.fixture(scope="module")
def sample(drawings) -> tuple[np.ndarray, np.ndarray]:
    """One film each of 240 patients at 150 x 150 pixels, and the labels."""
    films = [Image.fromarray(film).resize((150, 150), Image.BILINEAR) for _, film in drawings[:240]]
    return np.stack([np.asarray(film, np.float32) for film in films]), np.repeat([0, 1], 120)


@pytest.fixture
def few_films(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ensure_films` writes a few films only."""
    write_films = phantom_films.write_films
    monkeypatch.setattr(phantom_films, "write_films", lambda root: write_films(root, FEW, FEW))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def people(root: Path, split: str) -> set[str]:
    films = (root / split).rglob("*.jpeg")
    return {identify(film.name, film.parent.name == "PNEUMONIA").patient for film in films}


def test_the_same_bytes_are_written_twice(root: Path, tmp_path: Path) -> None:
    phantom_films.write_films(tmp_path, train=FEW, test=FEW)
    assert files(tmp_path) == files(root)


def test_every_film_is_another_film(root: Path) -> None:
    films = files(root)
    assert len(set(films.values())) == len(films) == 2 * sum(FEW.values())


def test_another_seed_draws_other_films() -> None:
    one, other = (phantom.draw_film(seed, 1, 1, "virus") for seed in (1, 2))
    assert one.shape != other.shape or (one != other).any()


def test_a_film_is_grey_bytes_of_a_size_of_its_own() -> None:
    films = [phantom.draw_film(1, patient, 1, "none") for patient in range(1, 9)]
    assert {film.dtype for film in films} == {np.dtype(np.uint8)}
    assert len({film.shape for film in films}) > 4


def test_an_opacity_is_where_the_lung_is_denser() -> None:
    drawings = [phantom.draw(1, patient, 1, "bacteria") for patient in range(1, 9)]
    brighter = [
        each.film[each.opacity > 0.5].mean() - each.film[each.lungs & (each.opacity < 0.1)].mean()
        for each in drawings
        if (each.opacity > 0.5).any()
    ]
    assert len(brighter) > 4 and min(brighter) > 20
    assert not phantom.draw(1, 1, 1, "none").opacity.any()


def test_names_tell_patient_and_pathogen(root: Path) -> None:
    for split in ("train", "test"):
        for folder, label in (("NORMAL", 0), ("PNEUMONIA", 1)):
            found = [identify(f.name, label) for f in (root / split / folder).iterdir()]
            assert all(identity.known for identity in found)
            for pathogen in ("bacteria", "virus") if label else ("none",):
                assert sum(i.pathogen == pathogen for i in found) == FEW[pathogen]
    names = {Path(name).name for name in files(root)}
    assert {"person1_bacteria_1.jpeg", "person1_virus_1.jpeg", "IM-0001-0001.jpeg"} <= names
    assert "NORMAL2-IM-0002-0001.jpeg" in names


def test_no_patient_is_in_train_and_test(root: Path) -> None:
    train, test = people(root, "train"), people(root, "test")
    assert train and test and not train & test


def test_some_patients_have_several_films_and_none_more_than_four(root: Path) -> None:
    films = [identify(Path(name).name, "PNEUMONIA" in name).patient for name in files(root)]
    counts = {films.count(patient) for patient in films}
    assert 1 in counts and len(counts) > 1 and max(counts) <= 4


def test_the_shipped_set_has_the_size_and_the_balance_that_the_docs_give() -> None:
    train, test = phantom_films.TRAIN_FILMS, phantom_films.TEST_FILMS
    assert set(train) == set(test) == set(phantom.PATHOGENS)
    assert (sum(train.values()), sum(test.values())) == (640, 160)
    assert 1 - train["none"] / 640 == pytest.approx(0.65)
    assert 1 - test["none"] / 160 == pytest.approx(0.62, abs=0.01)


def test_films_of_a_patient_share_the_body_and_nobody_else_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies = []

    def body(**measures: float) -> SimpleNamespace:
        bodies.append(measures)
        return SimpleNamespace(**measures)

    monkeypatch.setattr(phantom, "Body", body)
    for patient, image, pathogen in ((1, 1, "virus"), (1, 2, "virus"), (1, 1, "bacteria")):
        phantom.draw_film(1, patient, image, pathogen)
    assert bodies[0] == bodies[1] != bodies[2]


@pytest.mark.parametrize(
    "measure",
    [
        lambda films: films.mean((1, 2)),
        lambda films: films.std((1, 2)),
        lambda films: np.abs(np.diff(films, axis=1)).mean((1, 2)),
        lambda films: np.abs(np.diff(films, axis=2)).mean((1, 2)),
    ],
    ids=["brightness", "contrast", "vertical detail", "horizontal detail"],
)
def test_no_single_number_tells_the_classes_apart(sample, measure) -> None:
    films, labels = sample
    assert 0.3 <= roc_auc_score(labels, measure(films)) <= 0.7


def test_the_place_of_the_opacities_does(sample) -> None:
    films, labels = sample
    coarse = films.reshape(240, 15, 10, 15, 10).mean((2, 4)).reshape(240, -1) / 255
    known = np.arange(240) % 2 == 0
    model = LogisticRegression(C=10, max_iter=1000).fit(coarse[known], labels[known])
    scores = model.decision_function(coarse[~known])
    assert roc_auc_score(labels[~known], scores) > 0.95


def test_an_unknown_pathogen_is_refused() -> None:
    with pytest.raises(ValueError, match="not in"):
        phantom.draw_film(1, 1, 1, "fungus")


def test_a_second_call_finds_the_films_and_leaves_them_alone(
    few_films: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = phantom_films.ensure_films(tmp_path / "cache")
    assert films == tmp_path / "cache" / f"synthetic-v{phantom_films.VERSION}"
    assert [p.name for p in films.parent.iterdir()] == [films.name]
    monkeypatch.setattr(phantom_films, "write_films", lambda root: pytest.fail("drawn again"))
    assert phantom_films.ensure_films(tmp_path / "cache") == films


def test_a_kill_half_way_leaves_nothing_that_passes_for_finished(
    few_films: None, tmp_path: Path
) -> None:
    program = """
        import os, pathlib, sys
        from pneumojax.data import phantom_films
        draw_film, drawn = phantom_films.draw_film, []
        def draw_until_killed(*film):
            drawn.append(film)
            return draw_film(*film) if len(drawn) < 10 else os._exit(9)
        phantom_films.draw_film = draw_until_killed
        phantom_films.ensure_films(pathlib.Path(sys.argv[1]))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    assert subprocess.run(command, cwd=Path(phantom.__file__).parents[2]).returncode == 9
    assert len(list(tmp_path.rglob("*.jpeg"))) == 9
    assert len(files(phantom_films.ensure_films(tmp_path))) == 2 * sum(FEW.values())


def test_an_interrupt_leaves_the_cache_folder_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(root: Path) -> None:
        root.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(phantom_films, "write_films", interrupted)
    with pytest.raises(KeyboardInterrupt):
        phantom_films.ensure_films(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_process_that_comes_second_takes_the_films_of_the_first(
    few_films: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_few = phantom_films.write_films

    def write_while_another_finishes(root: Path) -> None:
        write_few(root)
        shutil.copytree(root, tmp_path / root.name)

    monkeypatch.setattr(phantom_films, "write_films", write_while_another_finishes)
    films = phantom_films.ensure_films(tmp_path)
    assert len(files(films)) == 2 * sum(FEW.values())
    assert [p.name for p in tmp_path.iterdir()] == [films.name]


def test_a_cache_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/cache"):
        phantom_films.ensure_films(tmp_path / "file" / "cache")
