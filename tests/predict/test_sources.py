"""The films that are found, and their order, with links, patterns and unreadable folders."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from pneumojax.decoding.film import read_bytes
from pneumojax.decoding.film_error import FilmError
from pneumojax.errors import UserError
from pneumojax.predict.sources import FoundFilm, Sources

PNG = b"\x89PNG\r\n\x1a\n"
DICOM = b"\0" * 128 + b"DICM"


@pytest.fixture
def folder(tmp_path):
    """b/2.png, b/IM0001 (DICOM), b/notes, b/DICOMDIR, a.JPEG, c.gif, .hidden.png, .dir/x.png"""
    files = {
        "b/2.png": PNG,
        "b/IM0001": DICOM,
        "b/notes": b"text",
        "b/DICOMDIR": DICOM,
        "a.JPEG": b"anything",
        "c.gif": b"GIF8",
        ".hidden.png": PNG,
        ".dir/x.png": PNG,
    }
    root = tmp_path / "films"
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def found(*inputs, below=None):
    return [
        str(path.relative_to(below)) if below else str(path)
        for path, *_ in Sources([str(name) for name in inputs]).films()
    ]


def test_a_folder_gives_what_is_called_a_picture_and_what_is_one_in_order(folder):
    sources = Sources([str(folder)])
    names = [str(path.relative_to(folder)) for path, *_ in sources.films()]
    assert names == ["a.JPEG", "b/2.png", "b/IM0001", "c.gif"]
    assert sources.ignored == 2  # the notes and DICOMDIR
    assert len(list(sources.films())) == 4 and sources.ignored == 2  # the same once more


def test_a_file_that_is_named_is_taken_whatever_it_is_called(folder):
    assert found(folder / "b/notes", folder / ".hidden.png") == [
        str(folder / "b/notes"),
        str(folder / ".hidden.png"),
    ]


def test_patterns_find_what_folders_do(folder, monkeypatch):
    assert found(folder / "**/*.png", below=folder) == ["b/2.png"]
    assert set(found(folder / "**", below=folder)) == set(found(folder, below=folder))
    assert found(folder / "*/IM*", below=folder) == ["b/IM0001"]
    assert found(folder / "[ac].*", below=folder) == ["a.JPEG", "c.gif"]
    assert found(folder / ".dir/*", below=folder) == [".dir/x.png"]
    monkeypatch.chdir(folder)
    assert found("b/?.png") == ["b/2.png"]
    odd = folder / "film[1].png"
    odd.write_bytes(PNG)
    assert found(odd) == [str(odd)]


def test_links_that_lead_in_a_circle_end(folder):
    (folder / "b" / "up").symlink_to(folder)
    (folder / "d").mkdir()
    for name in "xyz":
        (folder / "d" / name).symlink_to(folder / "b")
        (folder / "b" / name).symlink_to(folder / "d")
    once = ["a.JPEG", "b/2.png", "b/IM0001", "c.gif"]
    assert found(folder, below=folder) == once
    again = found(folder / "**/*")  # also under the link's name, but not in a circle
    assert {str(Path(name).resolve().relative_to(folder)) for name in again} == set(once)
    assert len(again) <= 3 * len(once)


def test_a_linked_folder_is_searched_and_a_link_to_nowhere_is_named(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.png").write_bytes(PNG)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "lost.png").symlink_to(tmp_path / "gone.png")
    names = found(folder, below=folder)
    assert "linked/far.png" in names and "lost.png" in names


def test_names_of_any_bytes_are_found(folder):
    name = os.fsencode(folder) + b"/r\xf6ntgen \xe2\x98\xa2.png"
    with open(name, "wb") as stream:
        stream.write(PNG)
    (path,) = (Path(p) for p in found(folder) if "ntgen" in p)
    assert os.fsencode(path) == name


def test_what_may_not_be_read_is_named_and_the_rest_goes_on(monkeypatch):
    # Not in tmp_path, which other users cannot search.
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.chmod(root, 0o755)
        for part in ("locked", "open"):
            (root / part).mkdir(mode=0o755)
            (root / part / "film.png").write_bytes(PNG)
        (root / "locked").chmod(0)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)  # because root may read everything
        try:
            results = list(Sources([str(root)]).films())
            inside = list(Sources([str(root / "locked" / "film.png")]).films())
            with pytest.raises(FilmError, match="cannot be read: Permission denied"):
                read_bytes(inside[0][0])
        finally:
            os.seteuid(before)
            (root / "locked").chmod(stat.S_IRWXU)
    assert results == [
        FoundFilm(root / "locked", "folder cannot be read: Permission denied"),
        FoundFilm(root / "open" / "film.png"),
    ]
    assert inside == [FoundFilm(root / "locked" / "film.png")]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "name at least one film, folder or pattern"),
        ([""], "an empty name"),
        (["~no-such-user/x.png"], "is not a path"),
        (["nowhere.png"], "'nowhere.png' does not exist"),
        (["no*.png"], "'no\\*.png' matches nothing"),
    ],
)
def test_what_is_not_there_is_refused(inputs, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^predict: .*{message}"):
        Sources(inputs)


def test_a_folder_of_films_is_never_written_to(folder):
    sources = Sources([str(folder / "b")])
    with pytest.raises(UserError, match="is a folder of films"):
        sources.refuse_inside(folder / "b" / "overlays")
    sources.refuse_inside(folder / "overlays")
    for pattern in ("*/*.png", "**/*.png", "*"):
        with pytest.raises(UserError, match="is a folder of films"):
            Sources([str(folder / pattern)]).refuse_inside(folder / "overlays")
    Sources([str(folder / "*.JPEG")]).refuse_inside(folder / "overlays")


def test_folders_deeper_than_frames_of_python_are_searched(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1_500):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("f.png", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    ((path, reason, _),) = Sources([str(tmp_path)]).films()
    assert path.name == "f.png" and not reason
