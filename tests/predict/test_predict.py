"""Prediction of good and bad films: each is answered, or named with the reason."""

import csv
import io
import json
import os
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from pneumojax.data.out_of_distribution import fit, statistics
from pneumojax.decoding.formats import decode_any
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.inference.trained_run import open_run
from pneumojax.isolation.films import FilmDecoder
from pneumojax.predict import answering
from pneumojax.predict import predict as room
from tests.predict.conftest import DECISION, predict_files, save

CALLS = ("normal", "pneumonia")


@pytest.fixture
def film(films_root):
    """A drawn film of one channel."""
    return Image.open(min((films_root / "test" / "NORMAL").iterdir())).convert("L")


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def predicted(workdir, *inputs, **options):
    """{name: row} of a new CSV, and how many files were unreadable."""
    output = workdir.parent / "out.csv"
    output.unlink(missing_ok=True)
    written = predict_files(workdir, inputs, output, **options)
    return rows_of(output), written.unreadable


def rows_of(path):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as stream:
        return {os.path.basename(row["file"]): row for row in csv.DictReader(stream)}


def test_every_good_film_is_answered_and_every_bad_one_named(
    workdir, film, make_dicom, tmp_path, capsys
):
    folder = tmp_path / "films"
    folder.mkdir()
    grey = np.asarray(film)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    inverted = make_dicom(255 - grey, PhotometricInterpretation="MONOCHROME1")
    good = {
        "plain.png": encoded(film, "PNG"),
        "16 bit.png": encoded(deep, "PNG"),
        "16 bit.tif": encoded(deep, "TIFF"),
        "rgba.png": encoded(film.convert("RGBA"), "PNG"),
        "called.jpeg": encoded(film, "TIFF"),
        "webp.webp": encoded(film, "WEBP", lossless=True),
        "Röntgen 胸.png": encoded(film, "PNG"),
        os.fsdecode(b"bytes \xf6\x1b[31m.png"): encoded(film, "PNG"),
        "inverted.dcm": inverted,
        "jpeg2000": make_dicom(grey, "2000"),
    }
    bad = {
        "truncated.jpeg": (encoded(film, "JPEG")[:2000], "truncated JPEG"),
        "empty.jpeg": (b"", "empty file"),
        "text.jpeg": (b"A text of Secret^Name\n" * 40, "not a picture"),
        "gif.gif": (encoded(film, "GIF"), "a GIF file"),
        "dot.png": (encoded(Image.new("L", (1, 1)), "PNG"), "1 x 1 pixels: too small"),
        "bomb.dcm": (make_dicom(grey, Rows=20_000, Columns=20_000), "too large"),
        "nothing.dcm": (make_dicom(grey, PixelData=None), "DICOM without pixels"),
        "frames.dcm": (make_dicom(grey, NumberOfFrames=2), "DICOM of 2 frames"),
    }
    for name, data in good.items() | {(name, data) for name, (data, _) in bad.items()}:
        (folder / name).write_bytes(data)
    (folder / "cmyk.jpeg").write_bytes(encoded(film.convert("CMYK"), "JPEG", quality=100))
    (folder / "loop").symlink_to(folder)
    (folder / "loop.png").symlink_to(folder / "loop.png")
    before = sorted(os.listdir(folder))

    rows, unreadable = predicted(workdir, folder)
    reasons = {name: reason for name, (_, reason) in bad.items()} | {"loop.png": "Too many levels"}
    assert unreadable == len(reasons)
    assert rows.keys() == good.keys() | reasons.keys() | {"cmyk.jpeg"}
    for name, reason in reasons.items():
        assert reason in rows[name]["note"] and not rows[name]["probability"]
    expected = float(rows["plain.png"]["probability"])
    for name in good:
        # All batches have one shape, so equal pixels give equal bits.
        assert float(rows[name]["probability"]) == expected
        assert rows[name]["call"] in CALLS and not rows[name]["note"]
    assert float(rows["cmyk.jpeg"]["probability"]) == pytest.approx(expected, abs=0.05)
    assert sorted(os.listdir(folder)) == before
    printed = capsys.readouterr()
    everything = (
        printed.out
        + printed.err
        + (workdir.parent / "out.csv").read_bytes().decode(errors="replace")
    )
    for secret in ("Secret", "ID-77", "20200131", "Traceback"):
        assert secret not in everything
    assert "\x1b[31m" not in printed.out  # escape codes in a name do not reach the terminal
    assert "9 unreadable" in printed.out


def test_probabilities_are_calibrated_and_called_at_the_threshold(workdir, film, tmp_path):
    film.save(tmp_path / "f.png")
    rows, _ = predicted(workdir, tmp_path / "f.png")
    row = rows["f.png"]
    trained = open_run(workdir)
    preprocessing = trained.preprocessing
    pixels = decode_any((tmp_path / "f.png").read_bytes(), preprocessing).pixels
    images = pixels[None, ..., None].astype(np.float32) / 255
    logits = trained.network.logits(trained.params, images)["auxiliary"]
    assert float(row["probability"]) == pytest.approx(DECISION.probabilities(logits)[0], abs=1e-6)
    assert row["threshold"] == "0.4"
    assert row["call"] == CALLS[DECISION.calls([float(row["probability"])])[0]]
    assert row["trained_on"] == "films0" and row["checkpoint"].startswith("1-")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_killed_run_goes_on_and_ends_with_the_same_file(
    workdir, films_root, tmp_path, suffix, monkeypatch, capsys
):
    monkeypatch.setattr(answering, "LARGEST_BATCH", 4)
    inputs = [
        str(films_root / "test"),
        str(films_root / "test" / "*" / "*"),
    ]
    whole, part = tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}"
    predict_files(workdir, inputs, whole)
    data = whole.read_bytes()
    part.write_bytes(data[: len(data) * 2 // 3])
    kept = part.read_bytes().count(b"\n") - (suffix == ".csv")
    decoded = []
    decode = FilmDecoder.decode
    monkeypatch.setattr(
        FilmDecoder,
        "decode",
        lambda *args, **options: decoded.append(1) or decode(*args, **options),
    )
    predict_files(workdir, inputs, part)
    assert part.read_bytes() == data
    assert data.count(b"\n") - (suffix == ".csv") == 14
    assert len(decoded) == 14 - kept and f"continuing: {kept} films" in capsys.readouterr().out


def test_the_output_of_another_checkpoint_is_refused_and_left_alone(
    workdir, film, tmp_path, config
):
    film.save(tmp_path / "f.png")
    output = tmp_path / "out.csv"
    predict_files(workdir, tmp_path / "f.png", output)
    before = output.read_bytes()
    save(workdir, config, step=2)
    with pytest.raises(UserError, match="it belongs to another run"):
        predict_files(workdir, tmp_path / "f.png", output)
    assert output.read_bytes() == before


def test_films_are_found_and_decoded_only_a_little_ahead(workdir, film, tmp_path, monkeypatch):
    monkeypatch.setattr(answering, "LARGEST_BATCH", 4)
    for i in range(40):
        film.save(tmp_path / f"{i:02d}.png")
    found, written, most = 0, 0, 0
    original, append = room.Resumed.wanted, room.PredictionFile.append

    def counting(*arguments):
        nonlocal found, most
        for each in original(*arguments):
            found += 1
            most = max(most, found - written)
            yield each

    def counted(self, rows):
        nonlocal written
        rows = list(rows)
        append(self, rows)
        written += len(rows)

    monkeypatch.setattr(room.Resumed, "wanted", counting)
    monkeypatch.setattr(room.PredictionFile, "append", counted)
    rows, _ = predicted(workdir, tmp_path / "*.png")
    assert list(rows) == [f"{i:02d}.png" for i in range(40)] and written == 40
    assert most <= 4 * 4 + 1  # two batches wait, one is decoded, one is in the network


def test_warnings_stand_beside_the_answer(workdir, films_root, config, tmp_path, capsys):
    paths = sorted((films_root / "train").rglob("*.jpeg"))
    seen = np.stack([decode_any(path.read_bytes(), Preprocessing(32)).pixels for path in paths])
    scope = fit(statistics(seen))
    save(workdir, config, step=2, scope=asdict(scope))
    film = Image.open(paths[int(np.argmin(scope.distances(seen)))]).convert("L")
    film.save(tmp_path / "usual.png")
    Image.fromarray(255 - np.asarray(film)).rotate(90).save(tmp_path / "turned.png")
    Image.merge("RGB", (film, film.point(lambda v: v // 2), film)).save(tmp_path / "colour.png")
    film.resize((20, 20)).save(tmp_path / "tiny.png")
    Image.new("L", film.size, 90).save(tmp_path / "blank.png")
    rows, unreadable = predicted(workdir, tmp_path / "*.png")
    said = {name: row["warnings"] for name, row in rows.items()}
    assert unreadable == 0 and all(row["probability"] for row in rows.values())
    assert said["usual.png"] == "" and said["blank.png"] == "blank"
    assert said["turned.png"].startswith("unlike the training films")
    assert said["colour.png"].startswith("a colour picture")
    assert said["tiny.png"].startswith("tiny: 20 x 20 pixels")
    assert "4 with a warning" in capsys.readouterr().out


def test_a_run_without_a_training_distribution_says_so_once(workdir, film, tmp_path, capsys):
    for name in "abc":
        film.save(tmp_path / f"{name}.png")
    predicted(workdir, tmp_path / "*.png")
    assert (
        capsys.readouterr().out.count("does not store the distribution of its training films") == 1
    )


def test_overlays_and_a_sheet_are_drawn_apart_from_the_films(workdir, film, tmp_path, capsys):
    films = tmp_path / "films"
    (films / "other").mkdir(parents=True)
    for path in (films / "f.png", films / "other" / "f.png"):
        film.save(path)
    (films / "bad.png").write_bytes(b"")
    plain, _ = predicted(workdir, films)
    rows, _ = predicted(workdir, films, overlays=tmp_path / "seen")
    assert float(rows["f.png"]["probability"]) == pytest.approx(
        float(plain["f.png"]["probability"]), abs=1e-6
    )
    names = sorted(os.listdir(tmp_path / "seen"))
    assert names[:2] == [".pneumojax-overlays", "contact_sheet.png"] and len(names) == 4
    for name in names[2:]:
        with Image.open(tmp_path / "seen" / name) as picture:
            # Caption, scale and disclaimer stand below the film, within a margin.
            assert name.startswith("f-") and picture.width == max(*film.size, 300) + 20
            assert picture.height > picture.width * film.height / film.width
    assert "2 overlays in " in capsys.readouterr().out
    with pytest.raises(UserError, match="is a folder of films"):
        predicted(workdir, films, overlays=films / "seen")
    assert not (films / "seen").exists()


def test_the_default_output_is_a_new_file_in_the_run_folder(workdir, film, tmp_path):
    film.save(tmp_path / "f.png")
    for _ in range(2):
        predict_files(workdir, tmp_path / "f.png")
    assert {"predictions.csv", "predictions-2.csv"} <= {p.name for p in workdir.iterdir()}


def test_json_lines_hold_numbers(workdir, film, tmp_path):
    film.save(tmp_path / "f.png")
    predict_files(workdir, tmp_path / "f.png", tmp_path / "p.jsonl")
    (row,) = map(json.loads, (tmp_path / "p.jsonl").read_text().splitlines())
    assert 0 < row["probability"] < 1 and row["threshold"] == 0.4 and row["warnings"] == []


def test_a_folder_without_films_is_refused(workdir, tmp_path):
    (tmp_path / "films").mkdir()
    with pytest.raises(UserError, match="^predict: no film was found"):
        predict_files(workdir, tmp_path / "films")
