"""Tables of films: how a CSV file is read, and which rows of it can be used."""

import re

import numpy as np
import pytest
from PIL import Image

from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.classes import Classes
from pneumojax.data.naming import KERMANY, Columns, FilmNaming
from pneumojax.data.patient_sources import patients_lines
from pneumojax.data.patients import PatientPattern
from pneumojax.data.table import read_unlabelled
from pneumojax.data.table_films import find_table_films
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError

HEADER = "path,label,patient,split,age"


@pytest.fixture
def table(tmp_path):
    """Writes a table, and an empty file for each film that its rows name."""

    def write(*rows, header=HEADER, films=True, encoding="utf-8", ends="\n"):
        path = tmp_path / "films.csv"
        path.write_bytes(ends.join([header, *rows, ""]).encode(encoding))
        for row in rows if films else ():
            file = tmp_path / row.replace(";", ",").replace("\t", ",").split(",")[0].strip('"')
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return path

    return write


def film(path, shift):
    """Writes a film; films with the same shift have the same bytes."""
    grey = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) + np.uint8(shift)
    Image.fromarray(grey).save(path)


def listed(path, naming=KERMANY, root=None):
    return find_table_films(path, root, "config.data.table", naming)


def films_of(folder):
    return [(file.path, file.label, file.patient, file.split) for file in folder.files]


def reasons(folder):
    return {row.path: row.reason for row in folder.rejected}


def test_rows_become_films_in_the_order_of_their_paths_with_the_other_columns_as_text(table):
    folder = listed(table("b.png,PNEUMONIA,2,test,", "a/c.png,normal,1,Validation,63"))
    assert films_of(folder) == [("a/c.png", 0, "1", "val"), ("b.png", 1, "2", "test")]
    assert {name: values.tolist() for name, values in folder.columns.items()} == {"age": ["63", ""]}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_separators_marks_and_line_ends_make_no_difference(table, separator, encoding, ends):
    rows = [row.replace(",", separator) for row in (HEADER, "a.png,NORMAL,p 1,train,5")]
    path = table(rows[1], header=rows[0], films=False, encoding=encoding, ends=ends)
    (path.parent / "a.png").touch()
    folder = listed(path)
    assert films_of(folder) == [("a.png", 0, "p 1", "train")]
    assert folder.columns["age"].tolist() == ["5"]


def test_a_column_may_have_another_name_and_stand_anywhere(table):
    naming = FilmNaming(columns=Columns(path="Datei", label="Befund"))
    folder = listed(table("a.png,1,NORMAL", header="datei,x,Befund"), naming)
    assert films_of(folder) == [("a.png", 0, "", "all")]


@pytest.mark.parametrize(
    "labels",
    [("0", "1"), ("0.0", "1.0"), ("no", "Yes"), ("False", "true"), ("Normal", "PNEUMONIA")],
)
def test_usual_labels_are_understood_if_no_classes_are_named(table, labels):
    path = table(f"a.png,{labels[0]}", f"b.png,{labels[1]}", header="path,label")
    assert [file.label for file in listed(path).files] == [0, 1]


def test_usual_labels_mean_nothing_once_classes_are_named(table):
    path = table("a.png,0", "b.png,1", header="path,label")
    with pytest.raises(UserError, match="no label is healthy or sick.*'0' 1 times, '1' 1 times"):
        listed(path, FilmNaming(Classes(("healthy",), ("sick",))))
    turned = listed(path, FilmNaming(Classes(("1",), ("0",))))
    assert [file.label for file in turned.files] == [1, 0]


@pytest.mark.parametrize(
    ("labels", "classes", "advice"),
    [
        (("NORMAL", "pnuemonia"), Classes(), "--config.data.positive=pnuemonia$"),
        (("NORMAL", "sick"), Classes(), "--config.data.positive=sick$"),
        (
            ("NORMAL", "PNEUMONIA", "pneumona"),
            Classes(),
            "--config.data.positive=PNEUMONIA,pneumona$",
        ),
        (("NORMAL", "PNEUMONIA", "COVID"), Classes(), "--config.data.ignored=COVID$"),
        (
            ("helthy", "very sick"),
            Classes(("healthy",), ("sick",)),
            "--config.data.negative=helthy '--config.data.positive=very sick'$",
        ),
    ],
)
def test_labels_of_no_class_are_listed_with_the_field_to_add(
    table, tmp_path, labels, classes, advice
):
    for i in range(len(labels)):
        film(tmp_path / f"{i}.png", i)
    rows = [f"{i}.png,{label}" for i, label in enumerate(labels)]
    path = table(*rows, header="path,label", films=False)
    with pytest.raises(UserError) as error:
        folder = listed(path, FilmNaming(classes))
        load_split(
            folder,
            "train",
            Preprocessing(32),
            FilmCache(tmp_path / "cache"),
            max_rejected_fraction=0.1,
        )
    assert re.search(advice, str(error.value))
    assert all(f"{label!r} 1 times" in str(error.value) for label in labels)


def test_several_names_in_any_spelling_are_one_class(table):
    path = table("a,No finding", "b,covid-19", "c,Viral_Pneumonia", header="path,label")
    naming = FilmNaming(Classes(("no_finding",), ("COVID 19", "viral pneumonia")))
    assert [file.label for file in listed(path, naming).files] == [0, 1, 1]
    assert naming.classes.names == ("no_finding", "COVID 19 or viral pneumonia")


def test_a_label_that_is_left_out_on_purpose_is_not_rejected(table):
    path = table("a.png,NORMAL", "b.png,unclear", header="path,label")
    folder = listed(path, FilmNaming(Classes(ignored=("Unclear",))))
    assert (len(folder.files), folder.ignored, folder.rejected) == (1, 1, ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",NORMAL,1,train,", "its row has no path"),
        ("x.png,COVID,1,train,", "its label 'COVID' is in none of config.data.negative, positive"),
        ("x.png,,1,train,", "its row has no label"),
        ("x.png,NORMAL,,train,", "its row has no patient"),
        ("x.png,NORMAL,1,exam,", "its split 'exam' is none of train, val and test"),
        ("x.png,NORMAL,1,train", "another number of cells"),
        ("x.png,NORMAL,1,train,5,6", "another number of cells"),
    ],
)
def test_a_row_that_cannot_be_used_is_listed_with_its_reason(table, row, reason):
    folder = listed(table("a.png,NORMAL,9,train,", row))
    assert [file.path for file in folder.files] == ["a.png"]
    assert reason in reasons(folder)[row.split(",")[0]]


def test_a_missing_file_and_a_folder_are_listed_with_their_reasons(table, tmp_path):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "a.png").touch()
    rows = ("a.png,0", "gone.png,0", "folder.png,1")
    folder = listed(table(*rows, header="path,label", films=False))
    assert reasons(folder) == {
        "gone.png": "there is no such file",
        "folder.png": "it is not a file",
    }


def test_a_path_listed_twice_is_used_once_and_not_at_all_under_both_labels(table):
    path = table("a.png,0", "./a.png,0", "b.png,0", "b.png,1", "c.png,1", header="path,label")
    folder = listed(path)
    assert [file.path for file in folder.files] == ["a.png", "c.png"]
    assert [row.reason for row in folder.rejected] == [
        "its path is listed more than once",
        *["its path is listed with both labels"] * 2,
    ]


@pytest.mark.parametrize("in_table", [True, False])
def test_a_patient_on_two_sides_stays_in_test_only(table, in_table):
    header = "path,label,split,patient" if in_table else "path,label,split"
    rows = ("IM-1-1.png,0,train", "IM-1-2.png,0,test", "IM-2-1.png,0,train", "IM-2-2.png,1,val")
    rows = [row + f",{row[3]}" * in_table for row in rows]
    folder = listed(table(*rows, header=header))
    assert [file.path for file in folder.files] == ["IM-1-2.png", "IM-2-2.png"]
    assert set(reasons(folder).values()) == {
        "its patient is in test as well",
        "its patient is in val as well",
    }


def test_paths_begin_at_the_root_if_one_is_named(table, tmp_path):
    path = table("a.png,NORMAL", header="path,label", films=False)
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.png").touch()
    with pytest.raises(UserError, match="no such file.*config.data.root"):
        listed(path)
    assert [file.path for file in listed(path, root=tmp_path / "films").files] == ["a.png"]
    with pytest.raises(UserError, match=r"^config\.data\.root: .*is not a folder"):
        listed(path, root=tmp_path / "nowhere")


@pytest.mark.parametrize("there", ["/data/mine/", "C:\\mine\\"])
def test_absolute_paths_of_another_machine_are_found_below_the_root(table, tmp_path, there):
    rows = [f"{there}a.png,0", f"{there}b/c.png,1"]
    rows = [row.replace("/", "\\") if "\\" in there else row for row in rows]
    path = table(*rows, header="path,label", films=False)
    (tmp_path / "films" / "b").mkdir(parents=True)
    for name in ("a.png", "b/c.png"):
        (tmp_path / "films" / name).touch()
    with pytest.raises(UserError, match="another machine.*config.data.root=<folder>.*mine"):
        listed(path)
    assert films_of(listed(path, root=tmp_path / "films")) == [
        ("a.png", 0, "", "all"),
        ("b/c.png", 1, "", "all"),
    ]


def test_absolute_paths_of_this_machine_are_used_as_they_are(table, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    outside = tmp_path / "elsewhere" / "a.png"
    outside.touch()
    path = table(f"{outside},NORMAL", header="path,label", films=False)
    assert [file.path for file in listed(path).files] == ["elsewhere/a.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; its first line must name the columns"),
        (b"path,label\n", "has no row, and so no film"),
        (b"File_path,label\na,0\n", "no column 'path' .found .*columns.path='File_path'"),
        (b"path,labels\na,0\n", "no column 'label'.*columns.label='labels'"),
        (b"path,patient\na,0\n", "no column 'label'.*columns.label='<name>'"),
        (b"path,label,Path\na,0,b\n", "has 2 columns 'path'; rename all but one"),
        (b"path,label\na,0\nb,yes\n", "mixes labels 0/1 and no/yes .found '0' 1 times, 'yes'"),
        (b"path,label\n\xe9,0\n", "is not text in UTF-8"),
        (b"\xff\xfep\x00a\x00t\x00h\x00", "is not text in UTF-8"),
        (b"PK\x03\x04\x00\x00", "is not text; save the table as CSV"),
        (b"path,label\n" + b"x" * 200_000, "field larger than field limit"),
        (b"path,label\na\x1b.png,NORMAL\n", "none of its 1 rows can be used"),
    ],
)
def test_a_file_that_is_no_table_of_films_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "films.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^config.data.table: .*{message}") as refused:
        listed(path)
    assert "\n" not in str(refused.value)


def test_a_folder_and_a_missing_table_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="is a folder; a folder of films is named by"):
        listed(tmp_path)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        listed(tmp_path / "films.csv")


def test_a_table_of_paths_alone_can_be_predicted(table):
    path = table("b.png,x", "a.png,y", "b.png,z", header="Path,anything")
    films = read_unlabelled(path, "predict", Columns())
    assert [film.path for film in films] == ["b.png", "a.png", "b.png"]
    assert read_unlabelled(path, "predict", Columns(path="file", patient="ANYTHING")) == [
        ("b.png", "x"),
        ("a.png", "y"),
        ("b.png", "z"),
    ]
    with pytest.raises(UserError, match="^predict: .*no column 'path'"):
        read_unlabelled(table("a,b", header="file,label"), "predict", Columns())


@pytest.mark.parametrize(
    ("rule", "path", "patient"),
    [
        ("kermany", "x/person12_virus_3.jpeg", "virus-12"),
        ("nih", "images/00000061_012.png", "00000061"),
        ("chexpert", "train/patient00011/study1/view1_frontal.jpg", "00011"),
        ("mimic", "files/p10/p10000032/s50414267/x.jpg", "10000032"),
        (r"^(\w+)-(\d+)", "ward-7-1.png", "ward-7"),
        (r"\d{4}", "scan 2031 a.png", "2031"),
    ],
)
def test_patients_are_found_by_known_and_own_patterns(rule, path, patient):
    identity = PatientPattern(rule).identify(path, 1)
    assert (identity.patient, identity.known) == (patient, True)


@pytest.mark.parametrize("rule", ["", r"(\d{9})", r"()"])
def test_a_path_without_a_patient_stands_for_its_own(rule):
    identity = PatientPattern(rule).identify("a/person1_virus_1.jpeg", 1)
    assert (identity.patient, identity.known) == ("a/person1_virus_1.jpeg", False)


def loaded(tmp_path, path, allowed, told):
    cache = FilmCache(tmp_path / "cache", log=told.append)
    return load_split(
        listed(path), "train", Preprocessing(32), cache, max_rejected_fraction=allowed
    )


def test_rejected_rows_are_counted_against_the_share_that_the_config_allows(table, tmp_path):
    for i in range(4):
        film(tmp_path / f"{i}.png", i)
    rows = [f"{i}.png,{i % 2}" for i in range(4)]
    path = table(*rows, "gone.png,1", header="path,label", films=False)
    assert loaded(tmp_path, path, 0.2, []).rejected == [("gone.png", "there is no such file")]
    with pytest.raises(UserError, match="1 of 5 .*more than 10.0%.*gone.png.*no such file"):
        loaded(tmp_path, path, 0.1, [])


@pytest.mark.parametrize(
    ("column", "pattern", "told"),
    [
        ("patient", "kermany", ["patients: 2 films by the column 'patient'"]),
        (
            "Patient ID",
            r"^(\d)\.",
            [
                "patients: 1 films by config.data.patient_pattern ('^(\\\\d)\\\\.'), "
                "1 films that each count as a patient of their own",
                "note: the column 'Patient ID' is not used. "
                "'--config.data.columns.patient=Patient ID' keeps the films of a patient together",
            ],
        ),
        ("patient_age", "", ["patients: 2 films that each count as a patient of their own"]),
    ],
)
def test_the_source_of_patients_is_said_and_a_column_that_may_name_them(
    table, tmp_path, column, pattern, told
):
    for i, name in enumerate(("0.png", "b.png")):
        film(tmp_path / name, i)
    path = table("0.png,0,7", "b.png,1,8", header=f"path,label,{column}", films=False)
    folder = listed(path, FilmNaming(patients=PatientPattern(pattern)))
    cache = FilmCache(tmp_path / "cache")
    films = load_split(folder, "train", Preprocessing(32), cache, max_rejected_fraction=0)
    assert patients_lines(films, folder) == told


def test_labels_that_are_left_out_are_counted_aloud_but_a_missing_label_is_a_fault(table, tmp_path):
    for i in range(2):
        film(tmp_path / f"{i}.png", i)
    path = table("0.png,0", "1.png,1", "x,unsure", "y,", header="path,label", films=False)
    naming, told = FilmNaming(Classes(ignored=("*",))), []
    cache = FilmCache(tmp_path / "cache", log=told.append)
    films = load_split(
        listed(path, naming), "train", Preprocessing(32), cache, max_rejected_fraction=0.5
    )
    assert films.rejected == [("y", "its row has no label")]
    assert told[0].startswith("ignored: 1 rows of ")


def test_films_of_the_same_bytes_are_counted_and_refused_above_the_share(table, tmp_path):
    for i in range(4):
        film(tmp_path / f"{i}.png", i % 3)
    rows = [f"{i}.png,{i % 2}" for i in range(4)]
    path, told = table(*rows, header="path,label", films=False), []
    assert len(loaded(tmp_path, path, 0.25, told)) == 4
    assert any("1 of 4 films" in line and "'3.png' and '0.png'" in line for line in told)
    with pytest.raises(UserError, match="max_rejected_fraction: 1 of 4 films"):
        loaded(tmp_path, path, 0.2, [])


def test_a_corrected_table_keeps_the_cache_and_changes_the_fingerprint(table, tmp_path):
    for i in range(3):
        film(tmp_path / f"{i}.png", i)
    told = []
    rows, header = ("0.png,0", "1.png,1", "2.png,1"), "path,label"
    first = loaded(tmp_path, table(*rows, header=header, films=False), 0, told)
    assert told
    told.clear()
    corrected = (rows[0], "1.png,0", rows[2])
    other = loaded(tmp_path, table(*corrected, header=header, films=False), 0, told)
    assert not told
    assert first.labels.tolist() == [0, 1, 1] and other.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(first.pixels(np.arange(3)), other.pixels(np.arange(3)))
    assert first.fingerprint != other.fingerprint


def test_the_columns_of_a_table_follow_the_films_that_are_selected(table, tmp_path):
    for i in range(3):
        film(tmp_path / f"{i}.png", i)
    rows = ("2.png,1,M", "0.png,0,F", "1.png,1,")
    films = loaded(tmp_path, table(*rows, header="path,label,sex"), 0, [])
    assert films.columns["sex"].tolist() == ["F", "", "M"]
    assert films.select(np.array([2, 0])).columns["sex"].tolist() == ["M", "F"]
