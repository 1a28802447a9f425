"""Names in CSV files are text to a spreadsheet, and are read back unchanged."""

import csv
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pneumojax.evaluation.compare.predictions_csv import read_predictions
from pneumojax.files import as_text, from_text, printable, read_csv, write_csv
from pneumojax.predict.output import PredictionFile
from pneumojax.predict.prediction import Prediction, RunStamp

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NAMES = [
    *(f"{mark}cmd|'/c calc'!A1.png" for mark in FORMULAS),
    *("'=x.png", "''=x.png", "'x.png", "''", "'", "", "-", "a=b.png", '"=1+1".png', "=\udcff.png"),
]
# Not every CSV reader tells these two from the end of a line.
TEXT = st.text(st.sampled_from([*"'=+-@a,\"\t ", "\uff1d", "\udcff"]) | st.characters())


@given(TEXT)
def test_text_comes_back_and_never_begins_as_a_formula(text):
    cell = as_text(text)
    assert from_text(cell) == text
    assert not cell.startswith(FORMULAS)


@given(TEXT, TEXT)
def test_two_names_never_become_one(first, second):
    assert (as_text(first) == as_text(second)) == (first == second)


def test_numbers_stay_numbers():
    assert as_text(-0.5) == -0.5 and as_text(None) is None


def test_csv_round_trip_and_what_a_spreadsheet_sees(tmp_path):
    path = tmp_path / "films.csv"
    write_csv(path, ("file", "n"), [(name, -1) for name in NAMES])
    assert [row["file"] for row in read_csv(path)] == NAMES
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as stream:
        cells = list(csv.reader(stream))[1:]
    assert not [file for file, _ in cells if file.startswith(FORMULAS)]
    assert {n for _, n in cells} == {"-1"}


@pytest.mark.parametrize("name", ["p.csv", "p.jsonl"])
def test_predictions_go_on_with_such_names_and_are_compared_by_them(tmp_path, name):
    stamp = RunStamp(0.5, trained_on="=films", checkpoint="-1", disclaimer="@")
    rows = [Prediction(file, file, "", 0.5, "normal", warnings=("=w",)) for file in NAMES]
    with PredictionFile(tmp_path / name, stamp) as predictions:
        predictions.append(rows)
    with PredictionFile(tmp_path / name, stamp) as predictions:
        assert predictions.done.keys() == predictions.names == set(NAMES)
    if name == "p.csv":
        assert list(read_predictions(tmp_path / name).films) == NAMES


def test_a_file_of_elsewhere_with_such_names_is_read_as_it_is(tmp_path):
    (tmp_path / "x.csv").write_text("file,probability\n=a.png,0.5\n'b.png,0.5\n'=c.png,0.5\n")
    assert list(read_predictions(tmp_path / "x.csv").films) == ["=a.png", "'b.png", "=c.png"]


@given(TEXT)
@example("\udd00")  # half of a surrogate pair, which JSON may hold
@example("\udcff")  # a byte that is not UTF-8
def test_what_is_printed_holds_no_control_direction_or_invisible_character(text):
    shown = printable(text)
    # Category C includes halves of surrogate pairs, which no terminal can print.
    assert not {c for c in shown if unicodedata.category(c)[0] in "CZ"} - {" "}
    assert printable(shown) == shown


@pytest.mark.parametrize(
    "character",
    [
        *("\x1b", "\x07", "\x9b", "\x7f", "\n", "\r"),
        # Characters that turn the direction of text: U+202E shows "gpj.exe" as "exe.jpg".
        *("\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F))),
        *map(chr, range(0x2066, 0x206A)),
        *("\u200b", "\ufeff", "\u2028", "\u2029"),
    ],
    ids=ascii,
)
def test_a_character_that_rewrites_its_line_is_shown_by_its_code(character):
    assert printable(f"a{character}b") == f"a{character.encode('unicode_escape').decode()}b"


def test_names_in_other_scripts_are_shown_as_they_are():
    for name in ("Röntgen.png", "胸部.jpeg", "صدر.png", "грудь (1).jpg"):
        assert printable(name) == name
