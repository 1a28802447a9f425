"""The search: takes trial after trial, trains it, and stores its figures, until enough are done.

The search may be killed at any instant. Optuna's storage says which trials had begun, and the run
folder of each how far it came, so the same command continues them before it begins others.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import optuna
from ml_collections import ConfigDict
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from pneumojax.errors import Stopped, UserError
from pneumojax.files import printable
from pneumojax.run.history import read_history
from pneumojax.run_list.records import is_locked
from pneumojax.terminal import say
from pneumojax.tuning.objective import values_of
from pneumojax.tuning.plan import Plan, begin_study
from pneumojax.tuning.proposals import SeededSampler, proposed
from pneumojax.tuning.results import best_trials, write_results
from pneumojax.tuning.space import config_with
from pneumojax.tuning.storage import (
    close_storage,
    held,
    held_if_free,
    loaded,
    open_storage,
    open_study,
)
from pneumojax.tuning.worker import Task, TrialProcess

_SECONDS_BETWEEN_LOOKS = 1.0  # how often the history of a trial that may be pruned is read
_SECONDS_FOR_AN_ORPHAN = 30.0  # that a training has to end after its search was killed
_RUNNING = (TrialState.RUNNING,)


def trial_name(number: int) -> str:
    """The name of a trial's run folder."""
    return f"trial-{number:04d}"


def tune(plan: Plan, folder: Path, trials: int, cache_dir: Path, *, download: bool = False) -> None:
    """Searches until the study in `folder` has so many finished trials, and writes the results.

    A trial that failed or was pruned counts as finished. Several processes may search one study.

    Raises:
        UserError: the folder holds another study, or no trial was completed.
        Stopped: a signal asked for the end; the current trial has been saved.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    begin_study(folder, plan)
    say(f"study: {printable(str(folder))}")
    with Search(plan, folder, cache_dir, download=download) as search:
        search.run(trials)
        study = search.study()
        found = study.get_trials(deepcopy=False)
        if not {TrialState.COMPLETE, TrialState.RUNNING} & {trial.state for trial in found}:
            reason = found[-1].user_attrs.get("reason", "it was pruned")
            raise UserError(f"none of the {len(found)} trials was completed; the last: {reason}")
        with held(folder, "results"):
            for line in write_results(folder, plan, study):
                say(line)


class Search:
    """One process that takes trials of a study; a context manager that ends it and its child."""

    def __init__(self, plan: Plan, folder: Path, cache_dir: Path, *, download: bool):
        self._plan, self._folder = plan, folder
        self._cache_dir, self._download = cache_dir, download
        self._storage = open_storage(folder, plan.storage)
        with held(folder, "storage"):
            open_study(self._storage, plan.objectives)
        self._process = TrialProcess()

    def __enter__(self) -> "Search":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.close()
        close_storage(self._storage)

    def run(self, budget: int) -> None:
        """Takes trials until the study has `budget` of them."""
        try:
            while True:
                with ExitStack() as locks:
                    trial = self._taken(budget, locks)
                    if trial is None:
                        return
                    self._finish(trial)
        except Stopped:
            self._process.stop()
            raise

    def study(self) -> Study:
        """The study with all trials as they are now."""
        sampler = SeededSampler(self._plan.sampler, self._plan.seed)
        return loaded(self._storage, sampler, prune=self._plan.prunes)

    def _taken(self, budget: int, locks: ExitStack) -> Trial | None:
        """A trial whose process was killed, or else a new one; None if there are enough.

        `locks` then holds the lock of the trial, so no other process takes it.
        """
        study = self.study()
        for found in study.get_trials(deepcopy=False, states=_RUNNING):
            if self._lock(found.number, locks) and self._is_running(found._trial_id):
                return Trial(study, found._trial_id)
            locks.pop_all().close()
        while True:
            with held(self._folder, "new"):
                study = self.study()
                if len(study.get_trials(deepcopy=False)) >= budget:
                    return None
                trial = study.ask()
            # Another process may take the new trial before this one has its lock.
            if self._lock(trial.number, locks) and self._is_running(trial._trial_id):
                return trial
            locks.pop_all().close()

    def _lock(self, number: int, locks: ExitStack) -> bool:
        return locks.enter_context(held_if_free(self._folder, trial_name(number)))

    def _is_running(self, trial_id: int) -> bool:
        return self._storage.get_trial(trial_id).state == TrialState.RUNNING

    def _finish(self, trial: Trial) -> None:
        """Trains a trial from wherever it is, and stores its figures or the reason of a failure."""
        began = time.monotonic()
        try:
            config = config_with(self._plan.config, proposed(trial, self._plan.space))
            run = self._folder / trial_name(trial.number)
            wait_until_free(run)
            self._process.begin(self._task(config, run))
            if self._trained(trial, run, config.epochs):
                values = values_of(self._plan.objectives, run, config)
                trial.study.tell(trial, values)
            else:
                trial.study.tell(trial, state=TrialState.PRUNED)
        except UserError as error:
            trial.set_user_attr("reason", str(error))
            trial.study.tell(trial, state=TrialState.FAIL)
        stored = self._storage.get_trial(trial._trial_id)
        say(described(stored, self._plan, self.study(), time.monotonic() - began))

    def _task(self, config: ConfigDict, run: Path) -> Task:
        log, evaluates = run.with_suffix(".log"), self._plan.evaluates
        return Task(config.to_dict(), run, log, self._cache_dir, self._download, evaluates)

    def _trained(self, trial: Trial, run: Path, epochs: int) -> bool:
        """Waits for the end of a training; False if it was pruned. Raises UserError if it failed.

        The decision depends only on the epochs in the run's history, in their order. So it is the
        same if the training ended before this process looked.
        """
        while not self._process.wait(_SECONDS_BETWEEN_LOOKS):
            if self._plan.prunes and self._is_hopeless(trial, run, epochs):
                self._process.stop()
                return False
        if self._plan.prunes and self._is_hopeless(trial, run, epochs):
            return False
        if self._process.answer:
            raise UserError(self._process.answer)
        return True

    def _is_hopeless(self, trial: Trial, run: Path, epochs: int) -> bool:
        """Reports the epochs that are new, and asks after each whether the trial should end."""
        if not (run / "metrics.jsonl").exists():
            return False
        (objective,) = self._plan.objectives
        reported = self._storage.get_trial(trial._trial_id).intermediate_values
        newest = max(reported, default=0)
        for line in read_history(run):
            epoch, value = line["epoch"], line.get(objective.by_epoch)
            if value is None or epoch < newest or epoch >= epochs:
                continue
            if epoch > newest:
                trial.report(value, epoch)
            if trial.should_prune():
                return True
        return False


def wait_until_free(run: Path) -> None:
    """Waits for the training of a search that was killed; it ends shortly after its parent."""
    deadline = time.monotonic() + _SECONDS_FOR_AN_ORPHAN
    while is_locked(run) and time.monotonic() < deadline:
        time.sleep(0.1)


def described(trial: FrozenTrial, plan: Plan, study: Study, seconds: float) -> str:
    """A line about a finished trial."""
    name = f"trial {trial.number}"
    if trial.state == TrialState.FAIL:
        return f"{name} failed: {trial.user_attrs['reason']}"
    if trial.state == TrialState.PRUNED:
        return f"{name} stopped after epoch {trial.last_step}: no better than the median so far"
    figures = _listed(plan, trial.values)
    best = best_trials(study)
    if trial.number in [one.number for one in best]:
        place = "the best so far" if len(best) == 1 else f"one of {len(best)} that none beats"
    else:
        place = f"best: {_listed(plan, best[0].values)}" if len(best) == 1 else "beaten by another"
    return f"{name}: {figures} in {seconds:.0f} s; {place}"


def _listed(plan: Plan, values: Sequence[float]) -> str:
    pairs = zip(plan.objectives, values, strict=True)
    return ", ".join(f"{objective.name} {value:.4f}" for objective, value in pairs)
