"""Writes what a study found: a table of its trials, the best config as a file, and the page."""

import textwrap
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pneumojax.config.flat import flatten
from pneumojax.configs import base
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.files import printable, replacing, write_csv
from pneumojax.tuning.page import write_page
from pneumojax.tuning.plan import Plan
from pneumojax.tuning.proposals import values_in
from pneumojax.tuning.space import config_with

PAGE = "tune.html"


def best_trials(study: Study) -> list[FrozenTrial]:
    """The best trial; with several objectives, every trial that no other one beats in all."""
    if not any(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False)):
        return []
    if len(study.directions) == 1:
        return [study.best_trial]
    return study.best_trials


def write_results(folder: Path, plan: Plan, study: Study) -> list[str]:
    """Writes trials.csv, the best configs and the page; returns lines about them to print."""
    trials = study.get_trials(deepcopy=False)
    write_csv(folder / "trials.csv", *_table(plan, trials))
    for old in folder.glob("best*.py"):
        old.unlink()
    lines, files = [], {}
    best = best_trials(study)
    for trial in best:
        file = "best.py" if len(plan.objectives) == 1 else f"best_{trial.number:04d}.py"
        with replacing(folder / file) as temporary:
            temporary.write_text(config_file(plan, trial, folder.name))
        files[trial.number] = file
        lines.append(f"trial {trial.number}: train --config={printable(str(folder / file))}")
    write_page(folder / PAGE, plan, study, files)
    return [*lines, f"the page is {printable(str(folder / PAGE))}"]


def _table(plan: Plan, trials: list[FrozenTrial]) -> tuple[list[str], list[list[str]]]:
    fields = [field.field for field in plan.space]
    rows = []
    for trial in trials:
        values = values_in(trial, plan.space)
        figures = [""] * len(plan.objectives)
        if trial.state == TrialState.COMPLETE:
            figures = [repr(value) for value in trial.values]
        rows.append(
            [
                str(trial.number),
                trial.state.name.lower(),
                *figures,
                str(trial.user_attrs.get("reason", "")),
                *(str(values.get(field, "")) for field in fields),
            ]
        )
    return ["trial", "state", *map(str, plan.objectives), "reason", *fields], rows


def config_file(plan: Plan, trial: FrozenTrial, study: str) -> str:
    """A Python file whose get_config() is the config of a trial."""
    config = config_with(plan.config, values_in(trial, plan.space))
    figures = ", ".join(
        f"{objective.name} {value:.6g}"
        for objective, value in zip(plan.objectives, trial.values, strict=True)
    )
    searched = ", ".join(field.field for field in plan.space)
    text = (
        f"Trial {trial.number} of the study {printable(study)}: {figures}. The study chose "
        f"{searched} on its validation films. {DISCLAIMER}"
    )
    return "\n".join(
        [
            *(f"# {line}" for line in textwrap.wrap(text, 96)),
            "",
            "from ml_collections import ConfigDict",
            "",
            "from pneumojax.configs import base",
            "",
            "",
            "def get_config() -> ConfigDict:",
            "    config = base.get_config()",
            *(f"    {line}" for line in _assignments(config)),
            "    return config",
            "",
        ]
    )


def _assignments(config: ConfigDict) -> list[str]:
    """Lines that turn `configs/base.py` into a config; another network replaces its arguments."""
    ours, theirs = _leaves(config), _leaves(base.get_config())
    lines = []
    if config.model.network != theirs["model.network"]:
        model = {name: ours.pop(name) for name in list(ours) if name.startswith("model.")}
        lines = ["config.model = ConfigDict()"]
        lines += [f"config.{name} = {value!r}" for name, value in model.items()]
    changed = {name: value for name, value in ours.items() if theirs.get(name) != value}
    return [*(f"config.{name} = {value!r}" for name, value in changed.items()), *lines]


def _leaves(config: ConfigDict) -> dict[str, Any]:
    """The fields by full name, with tuples as they are; `flatten` makes lists of them."""
    return {name: reduce(getitem, name.split("."), config) for name in flatten(config)}
