import numpy as np
import pytest

from pneumojax.evaluation.forecast import Logits, forecast
from pneumojax.inference.decision import fit_decision

SETTINGS = {"rule": "sensitivity", "min_sensitivity": 0.95, "temperature": True}


def drawn(shift, group, films=4000, seed=0):
    """Logits of films half of which are ill; the shift is that of a machine."""
    rng = np.random.default_rng([seed, group])
    labels = np.arange(films) % 2
    logits = rng.normal(4.0 * labels - 2.0, 1.0) + shift
    return Logits(labels, logits, np.full(films, group))


def together(*parts):
    joined = [[getattr(part, name) for part in parts] for name in ("labels", "logits", "group")]
    return Logits(*map(np.concatenate, joined))


def fitted_on_the_others(films):
    """Fits on the groups that are not called."""

    def decide(group):
        rest = films.group != group
        return fit_decision(SETTINGS, films.labels[rest], films.logits[rest])

    return decide


def test_machines_alike_are_forecast_to_do_as_the_threshold_was_chosen():
    alike = together(*(drawn(0.0, group) for group in range(3)))
    found = forecast(alike, "site", ["a", "b", "c"], fitted_on_the_others(alike))
    assert [group.name for group in found.groups] == ["a", "b", "c"]
    for group in found.groups:
        assert abs(group.sensitivity.value - 0.95) < 0.02  # four standard errors of 2,000 films
        assert group.specificity.value > 0.95


def test_a_machine_whose_films_raise_the_logits_costs_specificity_in_the_forecast():
    shifted = together(drawn(0.0, 0), drawn(0.0, 1), drawn(2.0, 2))
    found = forecast(shifted, "site", ["a", "b", "c"], fitted_on_the_others(shifted))
    assert found.groups[2].specificity.value < 0.8 < found.groups[0].specificity.value
    assert found.specificity[0] == min(group.specificity.low for group in found.groups)
    assert found.specificity[1] == max(group.specificity.high for group in found.groups)


def test_each_group_is_called_by_the_decision_that_was_made_without_it():
    plain = together(drawn(0.0, 0), drawn(0.0, 1))
    decisions = {0: fit_decision(SETTINGS, [0, 1], [-3.0, 1.0])._replace(threshold=0.1)}
    decisions[1] = decisions[0]._replace(threshold=0.9)
    found = forecast(plain, "site", ["a", "b"], decisions.__getitem__)
    assert [group.threshold for group in found.groups] == [0.1, 0.9]
    assert found.groups[0].sensitivity.value > found.groups[1].sensitivity.value


def test_the_record_holds_the_numbers_and_the_lines_say_them():
    films = together(drawn(0.0, 0), drawn(0.0, 1))
    found = forecast(films, "style", ["a", "b"], fitted_on_the_others(films))
    record = found.record()
    assert record["column"] == "style"
    assert record["groups"][1]["specificity"]["value"] == pytest.approx(
        found.groups[1].specificity.value
    )
    assert len(found.lines()) == 3 and "another machine" in found.lines()[-1]
