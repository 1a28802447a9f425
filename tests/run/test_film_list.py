"""A film that a network was trained on is known by its contents, or by its patient's name."""

import pytest

from pneumojax.errors import UserError
from pneumojax.files import write_csv
from pneumojax.run.begin import begin
from pneumojax.run.film_list import (
    FILM_COLUMNS,
    THIS_FILM,
    THIS_PATIENT,
    SeenFilms,
    banner,
    hidden,
    is_seen,
)
from pneumojax.shipped import reference_run

REFERENCE = reference_run()
SEEN, HELD_OUT, OTHER = "a" * 64, "b" * 64, "c" * 64
ROWS = [
    ("train/PNEUMONIA/person12_bacteria_46.jpeg", "train", 1, "bacteria-12", 1, "bacteria", SEEN),
    ("train/NORMAL/IM-0115-0001.jpeg", "train", 0, "IM-115", 1, "none", "d" * 64),
    ("train/NORMAL/x.png", "train", 0, "train/NORMAL/x.png", 0, "none", "e" * 64),
    ("train/PNEUMONIA/person7_virus_3.jpeg", "validation", 1, "virus-7", 1, "virus", HELD_OUT),
]


def a_run(folder, config, rows=ROWS):
    begin(folder, config)
    write_csv(folder / "films.csv", FILM_COLUMNS, rows)
    return folder


def test_a_film_is_known_by_its_contents_under_any_name(tmp_path, config):
    seen = SeenFilms.of_runs([a_run(tmp_path / "run", config)])
    assert seen.known
    assert seen.note("mine.png", SEEN) == seen.note("mine.png", SEEN.upper()) == THIS_FILM
    assert seen.note("person12_bacteria_46.jpeg", SEEN) == THIS_FILM  # the stronger statement


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("person12_bacteria_46.jpeg", THIS_PATIENT),
        ("some/folder/PERSON0012_BACTERIA_9 (1).PNG", THIS_PATIENT),
        ("IM-0115-0002.dcm", THIS_PATIENT),
        ("person12_virus_46.jpeg", ""),  # bacteria and viruses have their own numbers
        ("NORMAL2-IM-0115-0001.jpeg", ""),  # and so have the two series
        ("person7_virus_3.jpeg", ""),  # a validation film
        ("train/NORMAL/x.png", ""),  # a path without a patient
        ("hash-46942b5734eb1671.png", ""),
        ("00001803_002.jpeg", ""),
    ],
)
def test_a_patient_is_known_by_the_name_of_a_film(tmp_path, config, name, expected):
    seen = SeenFilms.of_runs([a_run(tmp_path / "run", config)])
    assert seen.note(name, OTHER) == expected


def test_films_that_a_run_was_only_validated_on_are_not_noted(tmp_path, config):
    assert SeenFilms.of_runs([a_run(tmp_path / "run", config)]).note("x.png", HELD_OUT) == ""


def test_hidden_names_of_a_released_run_tell_the_same(tmp_path, config):
    rows = [("", *row[1:3], hidden(row[3]), *row[4:]) for row in ROWS]
    seen = SeenFilms.of_runs([a_run(tmp_path / "run", config, rows)])
    assert seen.note("person12_bacteria_46.jpeg", OTHER) == THIS_PATIENT
    assert seen.note("person13_bacteria_46.jpeg", OTHER) == ""


def test_the_reference_network_knows_its_patients_by_the_published_names():
    seen = SeenFilms.of_runs([REFERENCE])
    assert seen.known
    names = [f"IM-{number:04d}-0001.jpeg" for number in range(115, 760)]
    assert sum(bool(seen.note(name, OTHER)) for name in names) > 300


def test_films_of_several_runs_count_together_and_a_run_without_a_list_is_told(tmp_path, config):
    one = a_run(tmp_path / "one", config, ROWS[:1])
    two = a_run(tmp_path / "two", config, ROWS[1:2])
    bare = tmp_path / "bare"
    begin(bare, config)
    both = SeenFilms.of_runs([one, two])
    assert both.known and both.note("x", SEEN) == THIS_FILM and both.note("x", "d" * 64)
    partly = SeenFilms.of_runs([one, bare])
    assert not partly.known and partly.note("x", SEEN) == THIS_FILM
    assert not SeenFilms.of_runs([bare]).known


def test_drawn_patients_are_not_taken_for_real_ones(tmp_path, config):
    drawn = config.copy_and_resolve_references()
    drawn.data.root = "synthetic"
    seen = SeenFilms.of_runs([a_run(tmp_path / "run", drawn)])
    assert seen.note("person12_bacteria_46.jpeg", OTHER) == ""
    assert seen.note("person12_bacteria_46.jpeg", SEEN) == THIS_FILM


def test_a_damaged_list_of_films_is_an_error_and_not_an_unknown(tmp_path, config):
    folder = a_run(tmp_path / "run", config)
    (folder / "films.csv").write_text("file,side\nx,train\n")
    with pytest.raises(UserError, match="films.csv' is not the list of films of a run"):
        SeenFilms.of_runs([folder])


def test_the_banner_counts_and_is_silent_where_nothing_was_seen():
    assert banner(0, 40) == ""
    assert banner(1, 2_000).startswith("1 of 2,000 films: the network was trained on")
    assert is_seen(["blank", THIS_FILM]) and is_seen([THIS_PATIENT]) and not is_seen(["blank"])
