import json
from pathlib import Path

import numpy as np
import pytest

from pneumojax.disclaimer import DISCLAIMER
from pneumojax.errors import UserError
from pneumojax.evaluation.compare.compare import compare
from pneumojax.files import write_csv

COLUMNS = ("file", "label", "probability", "call", "patient", "disclaimer")


def _rows(seed, n=60, disclaimer=DISCLAIMER):
    rng = np.random.default_rng([7])
    truth = (np.arange(n) % 3 > 0) * 2.0 + rng.normal(size=n) - 1
    logits = truth + np.random.default_rng([seed]).normal(size=n)
    return [
        {
            "file": f"train/{i}.jpeg",
            "label": ("NORMAL", "PNEUMONIA")[int(i % 3 > 0)],
            "probability": f"{1 / (1 + np.exp(-logits[i])):.9g}",
            "call": ("NORMAL", "PNEUMONIA")[int(logits[i] >= 0)],
            "patient": f"p{i // 2}",
            "disclaimer": disclaimer,
        }
        for i in range(n)
    ]


def _file(folder, name, rows, columns=COLUMNS):
    path = folder / name / "evaluation" / "val" / "predictions.csv"
    write_csv(path, columns, ([row[column] for column in columns] for row in rows))
    return path


def _stored(sources, output):
    """The comparison that is written to the folder."""
    compare(sources, output=output)
    return json.loads((Path(output) / "comparison.json").read_text())


@pytest.fixture
def runs(tmp_path):
    """Two run folders with an evaluation of the same films."""
    for seed, name in enumerate(("one", "two")):
        _file(tmp_path, name, _rows(seed))
    return tmp_path


def test_two_runs_leave_a_table_json_and_markdown(runs, capsys):
    result = _stored([str(runs / "one"), str(runs / "two")], output=str(runs / "out"))
    folder = runs / "out"
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.json", "comparison.md"]
    assert result["notes"] == [] and result["patients"] == 30
    assert result["networks"]["B"]["path"].endswith("two/evaluation/val/predictions.csv")
    shown, page = capsys.readouterr().out, (folder / "comparison.md").read_text()
    change = f"{result['pairs'][0]['differences']['auroc']['difference']:+.3f}"
    for text in (shown, page):
        assert all(word in text for word in (change, "DeLong", "McNemar", "B - A", DISCLAIMER))
        assert "60 films, 66.7% PNEUMONIA, patients: 30" in text
    tables = [line for line in shown.splitlines() if "/" not in line]
    assert max(map(len, tables)) <= 80 and "\x1b" not in shown
    for block in page.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count(" | ") for line in block.splitlines()}) == 1


def test_an_output_with_files_in_it_is_never_written_to(runs, monkeypatch):
    sources = [str(runs / "one"), str(runs / "two")]
    (runs / "full").mkdir()
    (runs / "full" / "mine").touch()
    for output in ("full", "full/mine"):
        with pytest.raises(UserError, match=" exists; name a new or empty folder"):
            compare(sources, output=str(runs / output))
    (runs / "empty").mkdir()
    compare(sources, output=str(runs / "empty"))
    monkeypatch.chdir(runs)
    for _ in range(2):
        compare(sources)
    written = sorted(str(path.parent.relative_to(runs)) for path in runs.rglob("comparison.json"))
    assert written == ["empty", "runs/comparison", "runs/comparison-2"]


def test_films_are_paired_by_name_in_any_order_and_the_others_are_listed(runs):
    rows = _rows(1)
    rows[5]["probability"] = rows[5]["call"] = ""
    rows = [*reversed(rows[2:]), *({**rows[0], "file": f"ex{i}\n[b]"} for i in range(5))]
    path = _file(runs, "other", rows)
    result = _stored([str(runs / "one"), str(path)], output=str(runs / "out"))
    assert result["n"] == 57
    assert result["networks"]["A"]["not_compared"] == [f"train/{i}.jpeg" for i in (0, 1, 5)]
    assert result["networks"]["B"]["without_probability"] == ["train/5.jpeg"]
    assert result["notes"] == [
        "A: 3 films not in all files, so not compared: "
        "'train/0.jpeg', 'train/1.jpeg', 'train/5.jpeg'",
        "B: 5 films not in all files, so not compared: "
        r"'ex0\n[b]', 'ex1\n[b]', 'ex2\n[b]' and 2 more",
        "B: 1 film without a probability, so not compared: 'train/5.jpeg'",
    ]
    kept = [row for i, row in enumerate(_rows(0)) if i not in (0, 1, 5)]
    again = _stored([str(_file(runs, "kept", kept)), str(runs / "two")], output=str(runs / "again"))
    assert again["networks"]["B"]["figures"] == result["networks"]["B"]["figures"]
    assert again["pairs"] == result["pairs"]


def test_labels_and_patients_come_from_the_file_that_has_them(runs):
    bare = _file(runs, "bare", _rows(1), columns=("file", "probability"))
    whole = _stored([str(runs / "two"), str(runs / "one")], output=str(runs / "whole"))
    result = _stored([str(bare), str(runs / "one")], output=str(runs / "out"))
    assert result["notes"] == [
        "A has no label for 60 films; taken from another file",
        "A has no column 'call'; its films are called at 0.5",
    ]
    assert result["pairs"] == whole["pairs"]


def test_without_patients_films_are_resampled_and_a_note_says_so(runs, capsys):
    rows = [{**row, "patient": ""} for row in _rows(2)]
    sources = [str(_file(runs, name, rows[i:])) for i, name in enumerate(("anon", "anon2"))]
    result = _stored(sources, output=str(runs / "out"))
    assert result["patients"] is None and result["bootstrap"]["unit"] == "film"
    assert "no file has the patients of all films" in result["notes"][1]
    assert "patients: unknown" in capsys.readouterr().out


def test_names_from_files_are_shown_as_text(runs, capsys):
    odd = runs / "[red]|<b>`x`"
    _file(runs, odd.name, [*_rows(1), {**_rows(1)[0], "file": "\x1b[31m:smile:|<i>\udcff"}])
    compare([str(runs / "one"), str(odd)], output=str(runs / "out"))
    shown, page = capsys.readouterr().out, (runs / "out" / "comparison.md").read_text()
    assert "[red]|<b>`x`" in shown and ":smile:" in shown and "\x1b" not in shown
    assert "<b>" not in page and "<i>" not in page
    assert r"\\x1b\[31m:smile:\|\<i\>" in page


def test_synthetic_films_are_stamped(runs, capsys):
    stamped = _file(runs, "drawn", _rows(1, disclaimer=f"synthetic films; {DISCLAIMER}"))
    result = _stored([str(runs / "one"), str(stamped)], output=str(runs / "out"))
    assert result["synthetic"] is True and "synthetic films" in capsys.readouterr().out
    assert "**synthetic films**" in (runs / "out" / "comparison.md").read_text()


def test_sources_that_cannot_be_compared_are_refused_in_one_line(runs):
    one, two = str(runs / "one"), str(runs / "two")
    renamed = _file(runs, "renamed", [{**r, "file": f"x/{r['file']}"} for r in _rows(1)])
    swapped = _rows(1)
    swapped[3]["label"] = "PNEUMONIA"
    unlabelled = [
        _file(runs, f"bare{i}", _rows(i), columns=("file", "probability")) for i in range(2)
    ]
    for sources, message in (
        ([], "takes 2 to 26 run folders"),
        ([one], "not 1"),
        ([one, str(runs / "one" / "evaluation" / "val")], "named twice"),
        ([one, str(renamed)], "no film is in all .*A: 'train/0.jpeg'; B: 'x/train/0.jpeg'"),
        ([one, str(_file(runs, "swapped", swapped))], "different labels for 'train/3.jpeg'"),
        ([*map(str, unlabelled)], "none of the files has a label for 'train/0.jpeg'"),
    ):
        with pytest.raises(UserError, match=message) as error:
            compare(sources, output=str(runs / "out"))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no finished evaluation of 'test'; it has 'val'"):
        compare([one, two], output=str(runs / "out"), split="test")
    assert not (runs / "out").exists()


def _renamed(rows, names):
    """The rows with other names of the classes, for class 0 and class 1."""
    new = dict(zip(("NORMAL", "PNEUMONIA"), names, strict=True))
    return [{**row, "label": new[row["label"]], "call": new[row["call"]]} for row in rows]


def test_classes_of_other_names_are_compared_by_number_and_said_first(runs, capsys):
    own = _file(runs, "own", _renamed(_rows(1), ("healthy", "sick")))
    same = _stored([str(runs / "one"), str(runs / "two")], output=str(runs / "same"))
    capsys.readouterr()
    result = _stored([str(runs / "one"), str(own)], output=str(runs / "out"))
    assert result["pairs"] == same["pairs"]
    assert result["networks"]["B"]["class_names"] == ["healthy", "sick"]
    first, one, two = capsys.readouterr().out.splitlines()[:3]
    assert "compared by number" in first
    assert one.endswith("class 0: 'NORMAL', class 1: 'PNEUMONIA'")
    assert two.endswith("class 0: 'healthy', class 1: 'sick'")


def test_classes_of_other_names_are_refused_unless_the_labels_show_what_they_mean(runs):
    own = _renamed(_rows(1), ("healthy", "sick"))
    healthy_is_class_1 = [{**r, "probability": f"{1 - float(r['probability']):.9g}"} for r in own]
    for name, rows, message in (
        (
            "swapped",
            healthy_is_class_1,
            "labels of 60 of the 60 films contradict .* 'train/0.jpeg'",
        ),
        ("unlabelled", [{**row, "label": ""} for row in own], "B has no label for 'train/0.jpeg'"),
        ("ill", [row for row in own if row["label"] == "sick"], "are of one class"),
    ):
        with pytest.raises(UserError, match=message) as error:
            compare([str(runs / "one"), str(_file(runs, name, rows))], output=str(runs / "out"))
        assert "A: 'NORMAL', 'PNEUMONIA'; B: " in str(error.value)
        assert "\n" not in str(error.value)


def test_a_warning_about_films_seen_in_training_comes_first(runs, capsys):
    seen = [{**row, "trained_on": ""} for row in _rows(1)]
    seen[3]["trained_on"] = "the network was trained on this film"
    warned = [{**row, "warnings": ""} for row in _rows(2)]
    for row in warned[:2]:
        row["warnings"] = "the network was trained on films of this patient (x); blank"
    paths = [
        _file(runs, "seen", seen, (*COLUMNS, "trained_on")),
        _file(runs, "warned", warned, (*COLUMNS, "warnings")),
    ]
    result = _stored(list(map(str, paths)), output=str(runs / "out"))
    assert [line.split(" of these")[0] for line in result["warnings"]] == [
        "A was trained on 1",
        "B was trained on 2",
    ]
    assert capsys.readouterr().out.startswith("warning: A was trained on 1 of these 60 films")
    assert "warning: A was trained on" in (runs / "out" / "comparison.md").read_text()


def test_fields_in_which_the_configs_differ_are_listed_with_their_values(runs, capsys):
    for name, epochs in (("one", 5), ("two", 10)):
        config = {"epochs": epochs, "seed": 0, "data.root": "\x1b[31m"}
        folder = runs / name / "evaluation" / "val"
        (folder / "metrics.json").write_text(json.dumps({"config": config}))
    result = _stored([str(runs / "one"), str(runs / "two")], output=str(runs / "out"))
    assert result["configs"]["different"] == [{"field": "epochs", "values": {"A": 5, "B": 10}}]
    shown = capsys.readouterr().out
    for text in (shown, (runs / "out" / "comparison.md").read_text()):
        assert "differ in 1 field" in text and "epochs: A: 5; B: 10" in text
        assert text.index("epochs: A: 5") < text.index("Sensitivity")  # before any metric
    assert "\x1b" not in shown


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, '{"config": 1}', "\xff"])
def test_a_config_that_cannot_be_read_is_unknown(runs, text):
    path = runs / "one" / "evaluation" / "val" / "metrics.json"
    path.write_bytes(text.encode("latin-1"))
    result = _stored([str(runs / "one"), str(runs / "two")], output=str(runs / "out"))
    assert result["configs"]["unknown"] == ["A", "B"]


def test_different_and_mixed_thresholds_are_noted(runs):
    columns = (*COLUMNS, "threshold")
    paths = [
        _file(runs, f"at{t}", [{**row, "threshold": t} for row in _rows(1)], columns)
        for t in (0.4, 0.5)
    ]
    result = _stored(list(map(str, paths)), output=str(runs / "out"))
    assert "called at different thresholds (A at 0.4, B at 0.5)" in result["notes"][0]
    mixed = _rows(1)
    most = max(range(60), key=lambda i: float(mixed[i]["probability"]))
    mixed[most]["call"] = "NORMAL"
    sources = [str(_file(runs, "mixed", mixed)), str(runs / "one")]
    result = _stored(sources, output=str(runs / "again"))
    assert result["notes"][0].startswith("A is called at several thresholds")


def test_one_name_of_two_films_is_refused(runs):
    columns = (*COLUMNS, "sha256")
    paths = [
        _file(runs, f"of{digest}", [{**row, "sha256": digest} for row in _rows(1)], columns)
        for digest in "ab"
    ]
    message = "^compare: 'train/0.jpeg' is a different film in another file"
    with pytest.raises(UserError, match=message):
        compare(list(map(str, paths)), output=str(runs / "out"))
