"""Messages about folders that do not have the layout of films of two classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.classes import Classes
from pneumojax.data.films import find_films
from pneumojax.data.naming import FilmNaming
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError


def film(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    Image.fromarray(grey).save(path)


def test_a_folder_without_class_folders_is_answered_with_what_it_has_and_what_lies_below(tmp_path):
    for name in ("TB", "COVID"):
        film(tmp_path / "train" / name / "a.png")
    with pytest.raises(UserError, match=r"found 'train' with 'COVID', 'TB' in it"):
        find_films(tmp_path)


def test_a_list_of_what_was_found_is_short(tmp_path):
    for number in range(9):
        (tmp_path / f"folder-{number}").mkdir()
    with pytest.raises(UserError) as caught:
        find_films(tmp_path)
    assert "'folder-4' with nothing in it; ..." in str(caught.value)
    assert "folder-5" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.dcm", "a.DICOM", "a.dic"])
def test_dicom_files_in_class_folders_are_films_and_others_are_named(tmp_path, name):
    for folder in ("NORMAL", "PNEUMONIA"):
        film(tmp_path / "films" / folder / "b.png")
        (tmp_path / "films" / folder / name).write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "films" / "NORMAL" / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    found = find_films(tmp_path / "films")
    assert [Path(file.path).name for file in found.files] == [name, "b.png"] * 2
    assert found.ignored == 1  # a name without a suffix is no film in a folder
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / name).write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(UserError, match=f"found '{name}'"):
        find_films(tmp_path / "study")


@pytest.mark.parametrize("flag", ["--films", "config.data.root"])
def test_every_mistake_with_a_folder_names_the_flag_that_the_user_gave(tmp_path, flag):
    film(tmp_path / "two" / "train" / "NORMAL" / "a.png")
    film(tmp_path / "two" / "test" / "NORMAL" / "a.png")
    (tmp_path / "empty" / "NORMAL").mkdir(parents=True)
    mistakes = [
        lambda: find_films(tmp_path / "nowhere", flag),
        lambda: find_films(tmp_path / "empty" / "NORMAL", flag),
        lambda: find_films(tmp_path / "empty", flag).only_split(),
        lambda: find_films(tmp_path / "two", flag).only_split(),
        lambda: find_films(tmp_path / "two", flag).of_split("val"),
    ]
    for mistake in mistakes:
        with pytest.raises(UserError, match=f"^{flag}: "):
            mistake()


def test_several_splits_are_named(tmp_path):
    for split in ("train", "test"):
        film(tmp_path / split / "NORMAL" / "a.png")
    with pytest.raises(UserError, match=r"has several splits \(test, train\)"):
        find_films(tmp_path).only_split()


def test_class_folders_without_a_film_hold_no_split(tmp_path):
    (tmp_path / "NORMAL").mkdir()
    (tmp_path / "NORMAL" / "notes.txt").write_text("nothing to see")
    with pytest.raises(UserError, match=r"holds no JPEG, PNG or DICOM film .*1 other files"):
        find_films(tmp_path).only_split()


def test_a_third_class_is_named_before_the_films_are_read(tmp_path):
    for name in ("NORMAL", "PNEUMONIA", "COVID"):
        film(tmp_path / "films" / "train" / name / "a.png")
    film(tmp_path / "films" / "extra" / "b.png")
    (tmp_path / "films" / ".thumbnails").mkdir()
    (tmp_path / "films" / ".thumbnails" / "c.png").write_bytes(b"")
    told: list[str] = []
    naming = FilmNaming(Classes(ignored=("covid",)))
    load_split(
        find_films(tmp_path / "films", naming=naming),
        "train",
        Preprocessing(32),
        FilmCache(tmp_path / "cache", log=told.append),
        max_rejected_fraction=0,
    )
    assert told[0].startswith("ignored: the files in 'extra', 'train/COVID' of ")
    assert "only NORMAL and PNEUMONIA are classes" in told[0]


def test_a_third_class_that_is_not_listed_is_refused_with_the_field_that_leaves_it_out(tmp_path):
    for name in ("NORMAL", "PNEUMONIA", "COVID"):
        film(tmp_path / "train" / name / "a.png")
    with pytest.raises(UserError, match=r"'train/COVID'.*--config\.data\.ignored='COVID'"):
        find_films(tmp_path)
    merged = find_films(tmp_path, naming=FilmNaming(Classes(positive=("PNEUMONIA", "COVID"))))
    assert [file.label for file in merged.files] == [1, 0, 1]
    apart = find_films(tmp_path, naming=FilmNaming(Classes(("no-rmal",), ("covid",), ("*",))))
    assert [(file.path, file.label) for file in apart.files] == [
        ("train/COVID/a.png", 1),
        ("train/NORMAL/a.png", 0),
    ]


def test_two_folders_of_other_names_are_named_with_the_fields_that_would_take_them(tmp_path):
    for name in ("healthy", "sick"):
        film(tmp_path / "train" / name / "a.png")
    with pytest.raises(UserError, match=r"negative='healthy' --config\.data\.positive='sick'"):
        find_films(tmp_path)
