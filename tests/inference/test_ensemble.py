"""Ensembles: the mean of the members' probabilities, their spread, and the output folder."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pneumojax.inference.decision import Decision
from pneumojax.inference.ensemble import output_folder
from pneumojax.inference.predictor import Predictor

DECISIONS = (Decision("youden", 2.0, 0.4, 9, ""), Decision("youden", 1.0, 0.6, 9, ""))


def ensemble(count):
    members = (SimpleNamespace(),) * count  # combining does not use them
    folders = tuple(Path(f"/runs/{i}") for i in range(count))
    return Predictor(members, folders, DECISIONS[:count], Decision("mean", 1.0, 0.5, 0, ""), 4)


def test_an_ensemble_answers_with_the_mean_of_its_calibrated_probabilities():
    both = ensemble(2)
    logits, spread = both.combine(np.array([[2.0, -4.0], [-1.0, 3.0]]))
    each = 1 / (1 + np.exp(-np.array([[1.0, -2.0], [-1.0, 3.0]])))
    np.testing.assert_allclose(both.decision.probabilities(logits), each.mean(0))
    np.testing.assert_allclose(spread.deviation, each.std(0))
    np.testing.assert_allclose(spread.lowest, each.min(0))
    np.testing.assert_allclose(spread.highest, each.max(0))


def test_the_logits_of_a_single_network_stay_as_they_are():
    logits, spread = ensemble(1).combine(np.array([[2.0, -4.0]], np.float32))
    np.testing.assert_array_equal(logits, np.float32([2, -4]))
    assert spread is None


def test_networks_that_are_certain_give_a_finite_logit():
    logits, _ = ensemble(2).combine(np.array([[1e4, -1e4], [1e4, -1e4]]))
    assert np.isfinite(logits).all() and logits[0] > 30 and logits[1] < -30


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_run_has_its_output_in_its_folder_and_an_ensemble_in_one_beside_it(names):
    runs = [Path("/runs") / name for name in names]
    assert output_folder(runs[:1]) == runs[0]
    assert output_folder(runs).parent == Path("/runs") and output_folder(runs) not in runs
    # The report describes the first run, so the order matters.
    assert output_folder(runs) != output_folder(runs[::-1])
