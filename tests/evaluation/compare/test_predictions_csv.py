import csv
import io
import json

import pytest

from pneumojax.errors import UserError
from pneumojax.evaluation.compare.predictions_csv import FilmPrediction, find_csv, read_predictions

HEADER = "file,label,probability,call,patient,disclaimer\n"


def _csv(tmp_path, text, name="p.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_an_evaluations_file_is_read_whole(tmp_path):
    text = HEADER + "a.png,NORMAL,0.25,PNEUMONIA,p1,no\nb.png,PNEUMONIA,1,PNEUMONIA,,no\n"
    scored = read_predictions(_csv(tmp_path, text))
    assert scored.films == {
        "a.png": FilmPrediction(probability=0.25, call=1, label=0, patient="p1"),
        "b.png": FilmPrediction(probability=1.0, call=1, label=1, patient=None),
    }
    assert scored.has_calls and not scored.synthetic


def test_a_predictions_file_has_no_labels_and_films_it_could_not_read(tmp_path):
    text = "file,probability,call,note\na.png,0.5,pneumonia,\nb.png,,,truncated JPEG\n"
    scored = read_predictions(_csv(tmp_path, text))
    assert scored.films == {"a.png": FilmPrediction(0.5, call=1, label=None, patient=None)}
    assert scored.without_probability == ("b.png",)


def test_without_calls_films_are_called_at_one_half(tmp_path):
    scored = read_predictions(_csv(tmp_path, "file,probability\na,0.5\nb,0.4999\n"))
    assert [film.call for film in scored.films.values()] == [1, 0]
    assert not scored.has_calls


def test_odd_names_and_formulas_are_text(tmp_path):
    names = ['=HYPERLINK("http://x")', "@SUM(1)", "a,b\nc", "[red]x[/]", "nötig", "\x1b[31m"]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("file", "probability"), *((name, 0.5) for name in names)])
    raw = buffer.getvalue().encode() + b"\xff\xfe.png,0.5\r\n"
    scored = read_predictions(_csv(tmp_path, b"\xef\xbb\xbf" + raw))  # a byte order mark
    assert list(scored.films) == [*names, "\udcff\udcfe.png"]


def test_the_stamp_of_synthetic_films_is_recognised(tmp_path):
    text = HEADER + "a.png,NORMAL,0.25,NORMAL,p1,synthetic films; Research only\n"
    assert read_predictions(_csv(tmp_path, text)).synthetic


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'file' and 'probability'"),
        ("file;probability\na;0.5\n", "first line reads 'file;probability'"),
        ("file,probability\n", "no film with a probability"),
        ("file,probability\na,0.5\nb,high\n", "line 3: 'high' is not a probability"),
        ("file,probability\na,nan\n", "line 2: 'nan' is not a probability"),
        ("file,probability\na,0_1\n", "line 2: '0_1' is not a probability"),
        ("file,probability\na, 0.5\n", "line 2: ' 0.5' is not a probability"),
        ("file,probability\na,\u0660.\u0665\n", "is not a probability"),
        ("file,probability,threshold\na,0.5,0.4\nb,0.5,0.3\n", "line 3: threshold is '0.3' but"),
        ("file,probability,checkpoint\na,0.5,1\nb,0.5,2\n", "line 3: checkpoint is '2' but"),
        ("file,probability,threshold\na,0.5,1_0\n", "not a plain decimal number"),
        ("file,probability\na,1.5\n", "'1.5' is not a probability between 0 and 1"),
        ("file,probability\na,0.5\na,0.6\n", "line 3: 'a' is listed twice"),
        ("file,probability\na,\na,0.6\n", "line 3: 'a' is listed twice"),
        ("file,probability\na,0.5,1\n", "line 2: the number of cells is not"),
        ("file,probability,label\na,0.5\n", "line 2: the number of cells is not"),
        ("file,probability,label\na,0.5,ill\n", "label 'ill' is neither NORMAL nor PNEUMONIA"),
        ("file,probability,call\na,0.5,\n", "call '' is neither"),
        ('file,probability\n"a,0.5\n', "not a CSV of predictions"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "no column"),
    ],
)
def test_an_invalid_file_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as error:
        read_predictions(_csv(tmp_path, text))
    assert "\n" not in str(error.value) and "p.csv" in str(error.value)


def _evaluation(folder, text=HEADER):
    folder.mkdir(parents=True)
    return _csv(folder, text, "predictions.csv")


def test_a_run_folder_stands_for_its_evaluation_and_not_for_its_predictions(tmp_path):
    _csv(tmp_path, HEADER, "predictions.csv")
    val = _evaluation(tmp_path / "evaluation" / "val")
    test = _evaluation(tmp_path / "evaluation" / "test")
    assert find_csv(tmp_path) == val and find_csv(tmp_path, "test") == test
    assert find_csv(test.parent) == find_csv(test, "val") == test


def test_a_missing_evaluation_is_reported_with_those_that_exist(tmp_path):
    _evaluation(tmp_path / "run" / "evaluation" / "test")
    message = "^compare: .* no finished evaluation of 'val'; it has 'test'; name another"
    with pytest.raises(UserError, match=message):
        find_csv(tmp_path / "run")
    (tmp_path / "bare" / "evaluation").mkdir(parents=True)
    with pytest.raises(UserError, match="evaluate it with --workdir=.*bare first"):
        find_csv(tmp_path / "bare")
    with pytest.raises(UserError, match="neither evaluation/ nor predictions.csv"):
        find_csv(tmp_path)
    with pytest.raises(UserError, match="^compare: '.*nowhere' does not exist"):
        find_csv(tmp_path / "nowhere")


def test_other_class_names_are_told_apart_by_the_calls_or_by_the_metrics_beside_the_file(tmp_path):
    text = "file,probability,label,call\na,0.2,healthy,healthy\nb,0.3,sick,sick\n"
    scored = read_predictions(_csv(tmp_path, text))
    assert scored.class_names == ("healthy", "sick")
    assert [(film.label, film.call) for film in scored.films.values()] == [(0, 0), (1, 1)]
    one_call = _csv(tmp_path, "file,probability,label,call\na,0.2,zebra,zebra\nb,0.3,ant,zebra\n")
    with pytest.raises(UserError, match="'zebra' is neither NORMAL nor PNEUMONIA"):
        read_predictions(one_call)
    classes = [{"class": name} for name in ("zebra", "ant", "weighted")]
    one_call.with_name("metrics.json").write_text(json.dumps({"by_class": classes}))
    assert [film.label for film in read_predictions(one_call).films.values()] == [0, 1]
