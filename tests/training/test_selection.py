"""The best epoch and early stopping, from figures alone."""

import math

import numpy as np
import pytest

from pneumojax.training.selection import (
    guessing_loss,
    is_better,
    no_better_than_guessing,
    stops_early,
    validation_figures,
)

EARLIER = {"val_loss": 0.5, "val_auroc": 0.9, "epoch": 3}


@pytest.mark.parametrize(
    ("metric", "figures", "better"),
    [
        ("loss", {"val_loss": 0.4, "val_auroc": 0.8}, True),
        ("loss", {"val_loss": 0.5, "val_auroc": 1.0}, False),
        ("auroc", {"val_loss": 0.6, "val_auroc": 0.91}, True),
        ("auroc", {"val_loss": 0.4, "val_auroc": 0.9}, False),
        ("last", {"val_loss": 9.0, "val_auroc": 0.1}, True),
        ("loss", {}, True),  # without validation
    ],
)
def test_an_epoch_is_better_by_the_metric_that_is_asked_for(config, metric, figures, better):
    with config.unlocked():
        config.checkpoint.best_metric = metric
    assert is_better(figures, EARLIER, config) == better
    assert is_better(figures, None, config)


def test_training_stops_when_patience_has_passed_since_the_best_epoch(config):
    assert not stops_early(100, EARLIER, config)  # patience 0
    with config.unlocked():
        config.early_stopping.patience = 2
    assert [stops_early(epoch, EARLIER, config) for epoch in (3, 4, 5)] == [False, False, True]
    assert not stops_early(5, None, config)
    assert not stops_early(5, {"train_loss": 0.1}, config)


def test_validation_figures_are_at_one_half():
    figures = validation_figures(np.array([0, 0, 1, 1]), np.array([-1.0, 1.0, 0.5, 2.0]))
    assert figures["val_specificity"] == 0.5 and figures["val_sensitivity"] == 1
    assert figures["val_accuracy"] == 0.75 and figures["val_auroc"] == 0.75


def test_guessing_reaches_the_loss_of_the_best_constant_answer():
    labels = np.array([1, 1, 1, 0])
    constant = [math.log(share / (1 - share)) for share in np.linspace(0.01, 0.99, 99)]
    losses = [validation_figures(labels, np.full(4, logit))["val_loss"] for logit in constant]
    assert guessing_loss(labels, class_weights=False) == pytest.approx(min(losses))
    weights = np.where(labels == 1, 1, 3)  # both classes weigh the same
    terms = [np.log1p(np.exp(np.where(labels == 1, -logit, logit))) for logit in constant]
    best = constant[int(np.argmin([np.average(term, weights=weights) for term in terms]))]
    of_best = validation_figures(labels, np.full(4, best))["val_loss"]
    assert guessing_loss(labels, class_weights=True) == pytest.approx(of_best)


def test_films_of_one_class_have_a_finite_loss_of_guessing():
    assert guessing_loss(np.ones(3), class_weights=False) == math.log(2)


@pytest.mark.parametrize(
    ("train", "validation", "told"),
    [
        (0.693, 0.3, "learned nothing"),
        (0.1, 0.72, "validation loss of the epoch that is kept, 0.720"),
        (0.1, 0.3, ""),
        (0.1, None, ""),  # no film is held out
    ],
)
def test_a_run_that_guesses_is_told_by_its_last_and_by_its_kept_epoch(train, validation, told):
    kept = {} if validation is None else {"val_loss": validation}
    note = no_better_than_guessing({"train_loss": train}, kept, math.log(2))
    assert bool(note) == bool(told) and told in note
