"""The values that a trial gets. Each is a function of the seed, the trial's number and the history.

A sampler of Optuna draws from one stream of random numbers, so after a restart it would propose
other values. Here each draw has a stream of its own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from pneumojax.tuning.space import Choice, Range, Space


class SeededSampler(BaseSampler):
    """Proposes from streams of (seed, trial number, field), as Optuna's TPE does or at random.

    `kind` is "tpe" or "random".
    """

    def __init__(self, kind: str, seed: int):
        self._kind, self._seed = kind, seed % 2**64  # NumPy takes no negative seed

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler(trial, "").infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler(trial, "").sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        sampler = self._sampler(trial, param_name)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Does nothing: neither sampler learns from a trial except through the storage."""

    def _sampler(self, trial: FrozenTrial, field: str) -> TPESampler | RandomSampler:
        entropy = [self._seed, trial.number, *field.encode()]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        return TPESampler(seed=seed) if self._kind == "tpe" else RandomSampler(seed=seed)


def proposed(trial: Trial, space: Space) -> dict[str, Any]:
    """The value of each searched field; a value that the storage has already is kept."""
    found: dict[str, Any] = {}
    for field in space:
        label = _suggested(trial, field)
        found[field.field] = field.value_of(label) if isinstance(field, Choice) else label
    return found


def _suggested(trial: Trial, field: Range | Choice) -> Any:
    if isinstance(field, Choice):
        return trial.suggest_categorical(field.field, field.labels)
    if field.is_whole:
        step = int(field.step or 1)
        low, high = int(field.low), int(field.high)
        return trial.suggest_int(field.field, low, high, step=step, log=field.is_log)
    return trial.suggest_float(
        field.field, field.low, field.high, step=field.step, log=field.is_log
    )


def values_in(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """The values of a stored trial by field; a trial that was killed early may lack some."""
    return {
        field.field: field.value_of(trial.params[field.field])
        if isinstance(field, Choice)
        else trial.params[field.field]
        for field in space
        if field.field in trial.params
    }
