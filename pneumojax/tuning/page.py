"""The page of a study: one file that needs nothing else."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from markupsafe import Markup
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from pneumojax.disclaimer import DISCLAIMER, SYNTHETIC_STAMP
from pneumojax.evaluation.report.svg import css_variables, inline_svg
from pneumojax.files import replacing
from pneumojax.palette import DARK, LIGHT
from pneumojax.templates import environment
from pneumojax.tuning import charts
from pneumojax.tuning.objective import Objective
from pneumojax.tuning.plan import Plan
from pneumojax.tuning.proposals import values_in

_TEMPLATES = Path(__file__).parent / "templates"
_STATES = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True)
class Best:
    """A trial on the page with its figures, its changed fields and the file of its config."""

    number: int
    file: str
    figures: Sequence[str]
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Row:
    """A trial in the table of the page."""

    number: int
    state: str
    cells: Sequence[str]
    note: str


def write_page(path: Path, plan: Plan, study: Study, files: Mapping[int, str]) -> None:
    """Writes the page; `files` are those of the best trials' configs, by their numbers."""
    trials = study.get_trials(deepcopy=False)
    template = environment(_TEMPLATES, html=True).get_template("tune.html.jinja")
    text = template.render(
        name=path.parent.name,
        plan=plan,
        counts=_counts(trials),
        best=[_best(plan, trials[number], file) for number, file in files.items()],
        pictures=_pictures(plan, study, list(files)),
        rows=[_row(plan, trial) for trial in trials],
        fields=[field.field for field in plan.space],
        disclaimer=DISCLAIMER,
        stamp=SYNTHETIC_STAMP if plan.is_synthetic else "",
        light=Markup(css_variables(LIGHT)),
        dark=Markup(css_variables(DARK)),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def importances(study: Study, objective: Objective, index: int) -> dict[str, float]:
    """The importance of each field for one objective by PED-ANOVA; {} if it is undefined.

    It needs two completed trials with different values of the objective.
    """
    completed = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    if len({trial.values[index] for trial in completed}) < 2:
        return {}
    sign = -1 if objective.is_maximised else 1  # the method asks what makes the target small
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator computes")
        return optuna.importance.get_param_importances(
            study, target=lambda trial: sign * trial.values[index]
        )


def _pictures(plan: Plan, study: Study, best: Sequence[int]) -> dict[str, Sequence[Markup]]:
    """Charts by the heading of their section."""
    trials = study.get_trials(deepcopy=False)
    found: dict[str, list[Markup]] = {}

    def add(heading: str, figure: charts.Figure, label: str) -> None:
        drawn = found.setdefault(heading, [])
        drawn.append(inline_svg(figure, f"{heading.lower()}-{len(drawn)}", label))

    for index, objective in enumerate(plan.objectives):
        figure = charts.history_chart(trials, objective, index)
        add("History", figure, f"{objective.name} by trial")
    if len(plan.objectives) > 1:
        figure = charts.front_chart(trials, plan.objectives, best)
        add("Front", figure, f"{plan.objectives[0].name} and {plan.objectives[1].name}")
    for index, objective in enumerate(plan.objectives):
        if shares := importances(study, objective, index):
            figure = charts.importance_chart(shares)
            add("Importances", figure, f"importance of the fields for {objective.name}")
    for index, objective in enumerate(plan.objectives):
        for field in plan.space:
            figure = charts.slice_chart(trials, field, objective, index)
            add("Slices", figure, f"{objective.name} over {field.field}")
    return dict(found)


def _counts(trials: Sequence[FrozenTrial]) -> str:
    counts = {
        name: sum(trial.state == state for trial in trials) for state, name in _STATES.items()
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _best(plan: Plan, trial: FrozenTrial, file: str) -> Best:
    values = values_in(trial, plan.space)
    return Best(
        trial.number,
        file,
        [f"{o.name} {v:.4f}" for o, v in zip(plan.objectives, trial.values, strict=True)],
        {name: _text(value) for name, value in values.items()},
    )


def _row(plan: Plan, trial: FrozenTrial) -> Row:
    values = values_in(trial, plan.space)
    figures = [""] * len(plan.objectives)
    if trial.state == TrialState.COMPLETE:  # a pruned trial has the figure of an epoch as its value
        figures = [f"{value:.4f}" for value in trial.values]
    fields = [_text(values.get(field.field, "")) for field in plan.space]
    note = str(trial.user_attrs.get("reason", ""))
    if trial.state == TrialState.PRUNED:
        note = f"after epoch {trial.last_step}"
    return Row(trial.number, _STATES[trial.state], [*figures, *fields], note)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
