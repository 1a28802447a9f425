"""The sentences of the report, beside its figures."""

import pytest

from pneumojax.evaluation.audits.audit_sections import explanations
from pneumojax.evaluation.report import sections
from pneumojax.inference.decision import Decision


def checked(compared, median, passed, constant=0, vanished=0):
    """The result of a randomisation check of 16 films with one stage."""
    stage = {
        "shuffled": "heads",
        "compared": compared,
        "vanished": vanished,
        "median": median,
        "quartiles": None if median is None else [median, median],
    }
    found = {"films": 16, "constant": constant, "fewest": 8, "limit": 0.5, "passed": passed}
    return {"explanations": found | {"stages": [stage]}}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (checked(16, 0.1, True), "They do: the median rank correlation"),
        (checked(16, 0.9, False), "They do NOT, so do not trust them"),
        (
            checked(5, 0.0, None, constant=11),
            "Nothing can be said: with all weights shuffled only 5",
        ),
        (
            checked(0, None, None, vanished=16),
            "Nothing can be said: with all weights shuffled only 0",
        ),
    ],
)
def test_the_verdict_on_maps_is_yes_no_or_that_nothing_can_be_said(result, said):
    text = " ".join(explanations(result).text)
    assert said in text
    assert ("They do" in text) == (result["explanations"]["passed"] is not None)


def test_films_without_a_map_are_counted_in_the_report():
    section = explanations(checked(10, 0.2, True, constant=4, vanished=2))
    assert "4 of the 16 films have no map as trained" in " ".join(section.text)
    assert list(section.tables[0].rows[0][:3]) == ["heads", "10", "2"]


def test_the_reason_for_no_temperature_is_given_once(predictions):
    from pneumojax.evaluation.summary import evaluate

    note = "no temperature: no validation film is on the wrong side of a probability of 0.5"
    result = evaluate(predictions, Decision("youden", 1.0, 0.6, 50, note))
    (text,) = sections.calibration(result).text
    assert text.count("o temperature") == 1 and "no validation film" in text
