import numpy as np
import pytest

from pneumojax.evaluation.forecast import Logits, forecast, together

SETTINGS = {"rule": "sensitivity", "min_sensitivity": 0.95, "temperature": True}


def drawn(shift, group, films=4000, seed=0):
    """Logits of films half of which are ill; the shift is that of a machine."""
    rng = np.random.default_rng([seed, group])
    labels = np.arange(films) % 2
    logits = rng.normal(4.0 * labels - 2.0, 1.0) + shift
    return Logits(labels, logits, np.full(films, group))


def test_machines_alike_are_forecast_to_do_as_the_threshold_was_chosen():
    alike = together(*(drawn(0.0, group) for group in range(3)))
    found = forecast(SETTINGS, alike, "site", ["a", "b", "c"])
    assert [group.name for group in found.groups] == ["a", "b", "c"]
    for group in found.groups:
        assert abs(group.sensitivity.value - 0.95) < 0.02  # four standard errors of 2,000 films
        assert group.specificity.value > 0.95


def test_a_machine_whose_films_raise_the_logits_costs_specificity_in_the_forecast():
    shifted = together(drawn(0.0, 0), drawn(0.0, 1), drawn(2.0, 2))
    found = forecast(SETTINGS, shifted, "site", ["a", "b", "c"])
    assert found.groups[2].specificity.value < 0.8 < found.groups[0].specificity.value
    assert found.specificity[0] == min(group.specificity.low for group in found.groups)
    assert found.specificity[1] == max(group.specificity.high for group in found.groups)


def test_a_group_never_sees_a_threshold_that_was_fitted_on_its_own_films():
    plain, degraded = together(drawn(0.0, 0), drawn(0.0, 1)), drawn(5.0, 1, seed=1)
    fitted_on = together(plain, degraded)
    found = forecast(SETTINGS, plain, "site", ["a", "b"], fitted_on)
    alone = forecast(SETTINGS, plain, "site", ["a", "b"])
    assert found.groups[1].threshold == alone.groups[1].threshold
    assert found.groups[0].threshold != alone.groups[0].threshold


def test_the_record_holds_the_numbers_and_the_lines_say_them():
    found = forecast(SETTINGS, together(drawn(0.0, 0), drawn(0.0, 1)), "style", ["a", "b"])
    record = found.record()
    assert record["column"] == "style"
    assert record["groups"][1]["specificity"]["value"] == pytest.approx(
        found.groups[1].specificity.value
    )
    assert len(found.lines()) == 3 and "another machine" in found.lines()[-1]
