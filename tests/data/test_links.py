"""Links in folders of films are followed to files, and never in circles."""

import os

import pytest

from pneumojax.data.films import find_films
from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.errors import UserError
from pneumojax.predict.sources import Sources


@pytest.fixture
def root(tmp_path):
    """A folder of links to films elsewhere, to devices, to nothing, and in circles."""
    store, root = tmp_path / "store", tmp_path / "root"
    folder = root / "train" / "NORMAL"
    folder.mkdir(parents=True)
    store.mkdir()
    (root / "train" / "PNEUMONIA").symlink_to(store, target_is_directory=True)
    (store / "b.png").write_bytes(b"b")
    (folder / "a.png").symlink_to(store / "b.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "up").symlink_to(root, target_is_directory=True)
    (folder / "folder.png").symlink_to(root, target_is_directory=True)
    os.mkfifo(folder / "pipe.png")
    return root


def test_films_elsewhere_are_films_and_pipes_devices_and_circles_are_counted(root):
    folder = find_films(root)
    assert [file.path for file in folder.files] == ["train/NORMAL/a.png", "train/PNEUMONIA/b.png"]
    assert folder.ignored == 6


def test_prediction_follows_links_once_and_reads_no_pipe_or_device(root):
    sources = Sources([str(root)])
    answered = {}
    for path, *_ in sources.films():
        try:
            answered[path.name] = read_bytes(path)
        except FilmError as error:
            answered[path.name] = str(error)
    assert answered.pop("a.png") == answered.pop("b.png") == b"b"
    assert answered == {
        "zero.png": "not a file",
        "pipe.png": "not a file",
        "gone.png": "cannot be read: No such file or directory",
        "self.png": "cannot be read: Too many levels of symbolic links",
    }


def test_what_became_a_pipe_or_grew_since_it_was_listed_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FilmError, match="not a file"):
        read_bytes(tmp_path / "pipe.png")
    with open(tmp_path / "large.png", "wb") as stream:
        stream.truncate(2 << 30)  # sparse, so it takes no disk space
    with pytest.raises(FilmError, match="2,147,483,648 bytes: too large"):
        read_bytes(tmp_path / "large.png")


def test_an_archive_in_place_of_a_folder_is_told_to_be_unpacked(tmp_path):
    (tmp_path / "films.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="is not a folder; unpack it first"):
        find_films(tmp_path / "films.zip")
