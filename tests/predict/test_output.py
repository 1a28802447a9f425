"""Prediction files that were cut off at any byte, and files that hold something else."""

import csv
import json

import pytest

from pneumojax.errors import UserError
from pneumojax.evaluation.compare.predictions_csv import read_predictions
from pneumojax.predict.output import COLUMNS, PredictionFile
from pneumojax.predict.prediction import Prediction, RunStamp

OF_RUN = {"threshold": 0.25, "trained_on": "some", "checkpoint": "7-abc", "disclaimer": "None."}
ROWS = [
    {"file": "a.png", "probability": 0.125, "call": "normal", "note": "", "warnings": []},
    {"file": 'odd "name"\nof, two lines.png', "probability": 0.9, "call": "pneumonia", "note": "",
     "warnings": ["tiny", "blank"]},
    {"file": "bytes \udcf6.png", "probability": None, "call": "", "note": "empty", "warnings": []},
    {"file": "Röntgen.png", "probability": 1.0, "call": "pneumonia", "note": "", "warnings": []},
]  # fmt: skip
APART = [(None,) * 3, (0.1, 0.8, 1.0), (None,) * 3, (0.0, 1.0, 1.0)]
for row, apart in zip(ROWS, APART, strict=True):
    row |= dict(zip(("deviation", "lowest", "highest"), apart, strict=True))
    row |= {"path": f"/films/{row['file']}", "sha256": "" if row["note"] else "ab" * 32}
each_kind = pytest.mark.parametrize("name", ["p.csv", "p.jsonl"])


def prediction(row):
    return Prediction(**row | {"warnings": tuple(row["warnings"])})


def written(path, rows=ROWS, of_run=OF_RUN):
    with PredictionFile(path, RunStamp(**of_run)) as predictions:
        predictions.append(prediction(row) for row in rows if row["path"] not in predictions.done)
        return predictions


@each_kind
def test_rows_come_back_as_they_were(tmp_path, name):
    predictions = written(tmp_path / "new" / name)
    assert predictions.unreadable == 1
    again = PredictionFile(tmp_path / "new" / name, RunStamp(**OF_RUN))
    again.__exit__(None, None, None)
    assert again.done == {row["path"]: row["sha256"] for row in ROWS}
    assert again.names == {row["file"] for row in ROWS} and again.unreadable == 1
    with open(tmp_path / "new" / name, newline="", encoding="utf-8", errors="surrogateescape") as s:
        read = list(csv.DictReader(s)) if name == "p.csv" else [json.loads(line) for line in s]
    assert [row["file"] for row in read] == [row["file"] for row in ROWS]
    assert tuple(read[0]) == COLUMNS
    assert read[1]["warnings"] == ("tiny; blank" if name == "p.csv" else ["tiny", "blank"])
    assert read[2]["probability"] == ("" if name == "p.csv" else None)
    assert float(read[0]["threshold"]) == 0.25


@each_kind
@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_a_file_cut_at_any_byte_is_completed_to_the_same(tmp_path, name, every):
    path = tmp_path / name
    written(path)
    whole = path.read_bytes()
    line_ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    near = {end + shift for end in line_ends for shift in (-1, 0, 1)}
    for end in sorted(near | set(range(0, len(whole), every))):
        path.write_bytes(whole[:end])
        written(path)
        assert path.read_bytes() == whole, end


def test_compare_reads_the_csv(tmp_path):
    written(tmp_path / "p.csv")
    scored = read_predictions(tmp_path / "p.csv")
    assert {name: film.call for name, film in scored.films.items()} == {
        row["file"]: int(row["call"] == "pneumonia") for row in ROWS if row["call"]
    }
    assert scored.without_probability == ("bytes \udcf6.png",)


@each_kind
@pytest.mark.parametrize("column", list(OF_RUN))
def test_another_run_is_refused_and_its_file_left_alone(tmp_path, name, column):
    path = tmp_path / name
    written(path)
    path.write_bytes(path.read_bytes() + b"cut sho")
    before = path.read_bytes()
    with pytest.raises(UserError, match=f"it belongs to another run \\({column}: "):
        written(path, of_run=OF_RUN | {column: 0.5 if column == "threshold" else "other"})
    assert path.read_bytes() == before


@each_kind
@pytest.mark.parametrize(
    "content",
    [
        b"notes",
        b"file,label\r\na.png,NORMAL\r\n",
        b'{"file": "a.png"}\n',
        b"[1, 2]\n",
        (",".join(COLUMNS) + "\r\nno prediction\r\n").encode(),
        b"\x89PNG\r\n\x1a\n\0\0",
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="^cannot continue"):
        written(tmp_path / name)
    assert (tmp_path / name).read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="^cannot write .* Not a directory"):
        written(tmp_path / "file" / "p.csv")
