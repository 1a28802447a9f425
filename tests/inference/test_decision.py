import numpy as np
import pytest

from pneumojax.configs import base
from pneumojax.inference.decision import Decision, fit_decision, undecided
from pneumojax.stats.calibration import calibration_metrics
from pneumojax.stats.metrics import confusion, probability

RNG = np.random.default_rng([0])
LABELS = np.repeat([0, 1], [80, 120])
LOGITS = 3 * (RNG.normal(size=200) + 2 * LABELS - 0.5)


def settings(**changes):
    return base.get_config().decision.to_dict() | changes


@pytest.mark.parametrize("temperature", [True, False])
@pytest.mark.parametrize("rule", ["youden", "sensitivity", "cost"])
def test_a_temperature_moves_probabilities_and_no_call(rule, temperature):
    decision = fit_decision(settings(rule=rule, temperature=temperature), LABELS, LOGITS)
    plain = fit_decision(settings(rule=rule, temperature=False), LABELS, LOGITS)
    calls = decision.calls(decision.probabilities(LOGITS))
    assert np.array_equal(calls, plain.calls(probability(LOGITS)))
    assert (decision.temperature != 1) == temperature
    assert (decision.rule, decision.films, decision.note) == (rule, 200, "")


def test_each_rule_reaches_what_it_is_for():
    def confusion_of(**changes):
        decision = fit_decision(settings(**changes), LABELS, LOGITS)
        return confusion(LABELS, decision.calls(decision.probabilities(LOGITS)))

    best = confusion_of(rule="youden")
    for shift in np.linspace(-6, 6, 101):
        other = confusion(LABELS, (shift < LOGITS).astype(int))
        gained = best.sensitivity + best.specificity - other.sensitivity - other.specificity
        assert gained > -1e-12  # equal up to rounding
    assert confusion_of(rule="sensitivity", min_sensitivity=0.99).sensitivity >= 0.99
    dear, cheap = (confusion_of(rule="cost", cost_ratio=ratio) for ratio in (20.0, 0.05))
    assert dear.fn < cheap.fn and dear.fp > cheap.fp


def test_the_probabilities_are_calibrated_on_the_films_it_was_fitted_on():
    decision = fit_decision(settings(), LABELS, LOGITS)
    before = calibration_metrics(LABELS, LOGITS)["log_loss"]
    after = calibration_metrics(LABELS, LOGITS / decision.temperature)["log_loss"]
    assert after < before


def test_what_cannot_be_fitted_is_said():
    assert fit_decision(settings(), np.ones(3, int), [1.0, 2.0, -1.0]) == undecided(
        "validation holds films of one class only"
    )
    apart = fit_decision(settings(), [0, 0, 1, 1], [-2.0, -1.0, 1.0, 2.0])
    assert apart.temperature == 1 and "wrong side" in apart.note
    assert apart.calls(apart.probabilities([-0.1, 0.1])).tolist() == [0, 1]


def test_a_decision_survives_json():
    import json

    decision = fit_decision(settings(), LABELS, LOGITS)
    assert Decision(**json.loads(json.dumps(decision._asdict()))) == decision
