"""The sentences and numbers of a report."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pneumojax.data.classes import ClassNames
from pneumojax.evaluation.audits.explanations import Explanations, Stage
from pneumojax.evaluation.audits.failures import failures
from pneumojax.evaluation.report import sections
from pneumojax.evaluation.summary import summarise
from pneumojax.evaluation.wording import decision_line, limits_of, value_of


def checked(compared, median, passed, constant=0, vanished=0):
    """The finding of a randomisation check of 16 films with one stage."""
    quartiles = (median, median) if compared else None
    stage = Stage("heads", compared, vanished, median, quartiles)
    return Explanations(16, constant, 0, [stage], passed)


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (
            checked(16, 0.1, True),
            "They depend on the weights: with all weights shuffled, the median rank",
        ),
        (checked(16, 0.9, False), "They do NOT depend on the weights, so do not trust them"),
        (
            checked(5, 0.0, None, constant=11),
            "cannot say whether the maps depend on the weights: only 5 of the 16",
        ),
        (
            checked(0, float("nan"), None, vanished=16),
            "cannot say whether the maps depend on the weights: only 0 of the 16",
        ),
    ],
)
def test_the_verdict_on_maps_is_yes_or_no_or_that_the_check_cannot_say(finding, said):
    text = " ".join(finding.section().text)
    assert said in text
    assert ("They d" in text) == (finding.passed is not None)


def test_films_without_a_map_are_counted_in_the_report():
    section = checked(10, 0.2, True, constant=4, vanished=2).section()
    assert "4 of the 16 films have no map as trained" in " ".join(section.text)
    assert list(section.tables[0].rows[0][:3]) == ["heads", "10", "2"]


def test_the_reason_for_no_temperature_is_given_once(evaluation, predictions, decision):
    note = "no temperature: no validation film is on the wrong side of a probability of 0.5"
    summary = summarise(predictions, decision._replace(temperature=1.0, note=note))
    (text,) = sections.calibration(replace(evaluation, summary=summary)).text
    assert text.count("o temperature") == 1 and "no validation film" in text


@pytest.mark.parametrize(
    ("temperature", "said"),
    [(0.1, "0.1, the lowest allowed"), (10.0, "10, the highest allowed"), (0.104, "0.104")],
)
def test_a_temperature_at_a_limit_of_its_fit_is_said_to_be(evaluation, decision, temperature, said):
    limited = decision._replace(temperature=temperature)
    assert decision_line(limited).endswith(f"a temperature of {said}")
    summary = replace(evaluation.summary, decision=limited)
    (text,) = sections.calibration(replace(evaluation, summary=summary)).text
    assert f"fitted on {limited.films:,} validation films: {said}. " in text


def test_a_label_contradicted_by_a_narrow_margin_is_not_called_confidently_contradicted(decision):
    plain = decision._replace(temperature=1.0, threshold=0.5)
    found = failures([0, 0, 1, 1], [0.2, -0.1, 0.1, 0.1], plain, list("abcd"))
    assert found.doubtful_labels.films[0].probability == pytest.approx(0.55, abs=0.001)
    text = found.section().text[0]
    assert "because the network contradicts them: 1. " in text


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (ClassNames(), "a film called normal need not be of a healthy patient"),
        (ClassNames("healthy", "sick"), "a film called healthy need not be of a healthy patient"),
    ],
)
def test_no_film_is_called_healthy_for_want_of_one_disease(evaluation, names, said):
    summary = replace(evaluation.summary, class_names=names)
    text = " ".join(sections.limitations(replace(evaluation, summary=summary)).text)
    assert said in text


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.9374, 0.9, 0.95, ("0.937", "0.900 to 0.950")),
        (12.34, 8.21, float("inf"), ("12.3", "above 8.210")),
        (float("nan"), float("nan"), float("nan"), ("undefined", "no interval")),
    ],
)
def test_an_estimate_is_said_with_what_is_undefined_or_open(value, low, high, said):
    estimate = SimpleNamespace(value=value, low=low, high=high)
    assert (value_of(estimate), limits_of(estimate)) == said
