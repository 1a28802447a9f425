"""Warnings stand before the metrics in every output."""

import csv
from dataclasses import replace

import pytest

from pneumojax.evaluation.predictions import TrainedOn
from pneumojax.evaluation.report.report import write_report
from pneumojax.evaluation.terminal import print_table
from pneumojax.run.film_list import THIS_FILM, THIS_PATIENT


@pytest.mark.parametrize(
    ("films", "patients", "said"),
    [
        (0, 0, ""),
        (90, 0, "warning: the network was trained on 90 of these 90 films. "),
        (0, 5, "trained on other films of the patients of 5 of these 90 films. "),
        (3, 5, "on 3 of these 90 films and on other films of the patients of 5 more films. "),
    ],
)
def test_the_line_tells_films_trained_on_from_other_films_of_their_patients(films, patients, said):
    line = TrainedOn(films, patients).warning(n=90)
    assert said in line and bool(line) == bool(said)
    assert not line or line.endswith("These metrics say nothing about new patients")


@pytest.fixture(scope="module")
def seen(predictions, facts, make_evaluation, tmp_path_factory, undrawn):
    """An evaluation of 90 films: 3 trained on, 5 of such patients, 2 named as the other class."""
    folder = tmp_path_factory.mktemp("seen")
    notes = [THIS_FILM] * 3 + [THIS_PATIENT] * 5 + [""] * 82
    facts = replace(facts, flow=replace(facts.flow, swapped=2))
    evaluation = make_evaluation(replace(predictions, trained_on=notes), facts)
    with undrawn():
        return folder, notes, evaluation, write_report(folder, evaluation)


def test_films_trained_on_are_a_field_of_the_figures_and_a_column_of_the_predictions(seen):
    folder, notes, _, result = seen
    assert result["trained_on"] == {"films": 3, "of_their_patients": 5}
    with open(folder / "predictions.csv", newline="") as stream:
        assert [row["trained_on"] for row in csv.DictReader(stream)] == notes


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_the_report_says_it_above_every_figure(seen, name):
    text = (seen[0] / name).read_text()
    body = text[text.find("<body>") :] if name.endswith("html") else text
    before = body.index("Sensitivity")
    assert body.index("was trained on 3 of these 90 films") < before
    assert body.index("2 of 90 films have names of the other class") < before


def test_the_terminal_says_it_before_the_table(seen, capsys):
    evaluation = seen[2]
    print_table(evaluation.summary, cautions=evaluation.cautions)
    text = " ".join(capsys.readouterr().out.split())
    before = text.index("90 films of 30 patients")
    assert text.index("was trained on 3 of these 90 films") < before
    assert text.index("2 of 90 films have names of the other class") < before


@pytest.fixture
def with_counts(evaluation):
    """`(normal, pneumonia) -> the evaluation` as of so many films of each class."""

    def make(*counts):
        rows = evaluation.summary.by_class
        of_classes = [replace(row, support=n) for row, n in zip(rows, counts, strict=False)]
        summary = replace(evaluation.summary, by_class=[*of_classes, rows[2]])
        return replace(evaluation, summary=summary)

    return make


@pytest.mark.parametrize(
    ("normal", "pneumonia", "said"),
    [
        (20, 20, None),
        (19, 1_000, "of NORMAL (19) were"),
        (20, 0, "of PNEUMONIA (0) were"),
        (6, 6, "of NORMAL (6) and of PNEUMONIA (6) were"),
    ],
)
def test_a_class_of_fewer_than_twenty_films_is_said_to_support_no_conclusion(
    with_counts, normal, pneumonia, said
):
    lines = with_counts(normal, pneumonia).cautions
    assert bool(lines) == bool(said)
    for line in lines:
        assert line.startswith(f"warning: fewer than 20 films {said} scored. ")
        assert line.endswith("support no conclusion")


def test_too_few_films_are_said_before_the_figures_and_change_none_that_is_stored(
    with_counts, evaluation, tmp_path, capsys, without_charts
):
    few = with_counts(6, 60)
    stored = write_report(tmp_path, few)
    said = "fewer than 20 films of NORMAL (6) were scored"
    for name in ("report.html", "report.md"):
        body = (tmp_path / name).read_text().replace("\\", "").partition("</style>")
        text = body[2] or body[0]
        assert text.index(said) < text.index("Sensitivity")
    print_table(few.summary, cautions=few.cautions)
    text = " ".join(capsys.readouterr().out.split())
    assert text.index(said) < text.index("Sensitivity")
    before = evaluation.record()
    assert {name for name in stored if stored[name] != before[name]} == {"by_class"}
    assert stored.keys() == before.keys()


def test_nothing_is_said_of_films_that_are_new_to_the_network(evaluation, tmp_path, without_charts):
    result = write_report(tmp_path, evaluation)
    assert result["trained_on"] == {"films": 0, "of_their_patients": 0}
    assert "warning" not in (tmp_path / "report.html").read_text()
    with open(tmp_path / "predictions.csv", newline="") as stream:
        assert {row["trained_on"] for row in csv.DictReader(stream)} == {""}
