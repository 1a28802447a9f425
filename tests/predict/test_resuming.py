"""Continued predictions: films are told apart by contents, and only one process writes."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pneumojax.api.load import load
from pneumojax.decoding.film_error import UnfinishedDecoding
from pneumojax.errors import UserError
from pneumojax.files import read_csv, write_csv
from pneumojax.isolation.films import FilmDecoder
from pneumojax.predict.overlays import name_of
from pneumojax.run.film_list import FILM_COLUMNS, THIS_FILM, THIS_IDENTIFIER, THIS_PATIENT
from tests.predict.conftest import predict_files


def save_film(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed]).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def predicted(workdir, inputs, output, **options):
    predict_files(workdir, inputs, output, **options)
    return read_csv(output)


@pytest.mark.slow
def test_the_same_name_from_another_folder_is_another_film(workdir, tmp_path, monkeypatch):
    for seed, name in enumerate(("a", "b")):
        save_film(tmp_path / name / "f.png", seed)
        monkeypatch.chdir(tmp_path / name)
        rows = predicted(workdir, ["f.png"], tmp_path / "out.csv")
    assert [row["file"] for row in rows] == ["f.png", str(tmp_path / "b" / "f.png")]
    assert rows[0]["probability"] != rows[1]["probability"]


def test_one_film_under_several_spellings_is_one_row(workdir, tmp_path, monkeypatch):
    save_film(tmp_path / "f.png", 0)
    (tmp_path / "link.png").symlink_to("f.png")
    monkeypatch.chdir(tmp_path)
    names = ["f.png", "./f.png", "link.png", tmp_path / "f.png"]
    assert len(predicted(workdir, names, tmp_path / "out.csv")) == 1
    for name in names:
        assert len(predicted(workdir, [name], tmp_path / "out.csv")) == 1


def test_a_film_whose_decoding_the_machine_ended_is_tried_again(workdir, tmp_path, monkeypatch):
    films = [save_film(tmp_path / name, seed) for seed, name in enumerate(("a.png", "b.png"))]
    late, decode = films[0].read_bytes(), FilmDecoder.decode

    def too_late(self, data, *arguments, **options):
        if data == late:
            raise UnfinishedDecoding("took longer than 90 s: the machine is too busy")
        return decode(self, data, *arguments, **options)

    output = tmp_path / "out.csv"
    monkeypatch.setattr(FilmDecoder, "decode", too_late)
    with pytest.raises(UserError, match=r"^1 films have no row.*into \S+out\.csv again"):
        predicted(workdir, films, output)
    assert [row["file"] for row in read_csv(output)] == [str(films[1])]
    monkeypatch.undo()
    assert [row["file"] for row in predicted(workdir, films, output)] == [*map(str, films[::-1])]
    assert all(row["probability"] for row in read_csv(output))


def test_a_film_that_changed_since_its_row_is_told_and_the_others_are_answered(workdir, tmp_path):
    film, output = save_film(tmp_path / "films" / "a.png", 0), tmp_path / "out.csv"
    before = predicted(workdir, [film], output)
    save_film(film, 1)
    save_film(tmp_path / "films" / "b.png", 2)
    with pytest.raises(UserError, match=r"films have changed since .*a\.png") as error:
        predicted(workdir, [tmp_path / "films"], output)
    assert "\n" not in str(error.value)
    after = read_csv(output)
    assert after[:1] == before and [os.path.basename(row["file"]) for row in after[1:]] == ["b.png"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_file_that_another_process_writes_is_refused_with_its_number(workdir, tmp_path, suffix):
    film, output = save_film(tmp_path / "f.png", 0), tmp_path / f"out{suffix}"
    output.touch()
    holding = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.flock(f, fcntl.LOCK_EX); "
    with subprocess.Popen(
        [sys.executable, "-c", holding + "print('held', flush=True); input()", str(output)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="is being written by") as error:
            predict_files(workdir, film, output)
        numbers = re.findall(r"by process (\d+)", str(error.value))
        assert not numbers or numbers == [str(other.pid)]  # only Linux lists the process
        other.communicate(b"\n")
    predict_files(workdir, film, output)


def test_a_film_trained_on_is_told_first_in_its_row_and_on_the_terminal(workdir, tmp_path, capsys):
    save_film(tmp_path / "films" / "mine.png", 0)
    save_film(tmp_path / "films" / "person12_bacteria_46.png", 1)
    save_film(tmp_path / "films" / "person13_bacteria_46.png", 2)
    rows = predicted(workdir, [tmp_path / "films"], tmp_path / "first.csv")
    assert "cannot be told whether the network has seen" in capsys.readouterr().out
    assert not any("trained on" in row["warnings"] for row in rows)
    write_csv(
        workdir / "films.csv",
        FILM_COLUMNS,
        [
            ("x.png", "train", 0, "x.png", 0, "none", rows[0]["sha256"]),
            ("y.png", "train", 1, "bacteria-12", 1, "bacteria", "0" * 64),
        ],
    )
    rows = predicted(workdir, [tmp_path / "films"], tmp_path / "second.csv")
    first = [row["warnings"].split("; ")[0] for row in rows]
    assert first[:2] == [THIS_FILM, THIS_PATIENT] and "trained on" not in first[2]
    shown = capsys.readouterr().out
    assert shown.index("2 of 3 films: the network was trained on") < shown.index("Probability")


def test_a_table_tells_the_patients_that_the_network_was_trained_on(workdir, tmp_path):
    of_training = ("x.png", "train", 0, "p7", 1, "none", "0" * 64)
    write_csv(workdir / "films.csv", FILM_COLUMNS, [of_training])
    films = [save_film(tmp_path / name, seed) for seed, name in enumerate(("a.png", "b.png"))]
    table = tmp_path / "films.csv"
    table.write_text("path,age,Patient\na.png,70,p7\nb.png,70,p8\n")
    rows = predicted(workdir, [table], tmp_path / "out.csv")
    assert [row["file"] for row in rows] == list(map(str, films))
    assert rows[0]["warnings"].startswith(THIS_IDENTIFIER) and "trained" not in rows[1]["warnings"]
    in_python = load(workdir).predict(table).warnings
    assert [THIS_IDENTIFIER in warnings for warnings in in_python] == [True, False]


@pytest.mark.parametrize("name", ["new\nline.png", "\x1b[31m.png", "胸" * 80 + ".png"])
def test_an_overlay_is_drawn_of_a_film_of_any_name(workdir, tmp_path, name):
    save_film(tmp_path / "films" / name, 0)
    overlays = tmp_path / "seen"
    predicted(workdir, [tmp_path / "films"], tmp_path / "o.csv", overlays=overlays)
    assert len([path for path in overlays.iterdir() if path.suffix == ".png"]) == 2


def test_overlays_never_go_into_a_folder_that_holds_something_else(workdir, tmp_path):
    film = save_film(tmp_path / "films" / "f.png", 0)
    kept = save_film(tmp_path / "kept" / "mine.png", 1)
    for folder in ("kept", "films"):
        with pytest.raises(UserError, match="holds other files than overlays"):
            predicted(workdir, [film], tmp_path / "o.csv", overlays=tmp_path / folder)
    assert os.listdir(kept.parent) == ["mine.png"] and not (tmp_path / "o.csv").exists()
    for _ in range(2):
        predicted(workdir, [film], tmp_path / "o.csv", overlays=tmp_path / "new")


def test_overlays_of_other_films_and_networks_have_other_names():
    names = {
        name_of(path, digest, checkpoint)
        for path in ("/a/f.png", "/b/f.png")
        for digest in ("0", "1")
        for checkpoint in ("1-a", "2-b")
    }
    assert len(names) == 8
