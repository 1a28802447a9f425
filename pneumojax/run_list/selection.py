"""Filters and sorts runs by the fields of their configs and by their figures."""

import json
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pneumojax.config.load import nearest_fields
from pneumojax.errors import UserError
from pneumojax.run_list.records import RunRecord

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
# Groups of fields in the order of columns; all other groups stand between the two.
_FIRST = ("model", "optimizer", "loss", "augment")
_LAST = ("data", "checkpoint", "log")
_COLUMNS = ("name", "state", "films", "seconds")
_CONDITION = re.compile(r"\s*([\w.]+)\s*(!=|>=|<=|=|>|<)\s*((?![=<>!]).*?)\s*")
_SHOWN = 6  # values in a message


@dataclass(frozen=True)
class Condition:
    """A comparison of a field or figure with a value."""

    name: str
    comparison: str
    value: Any

    def holds(self, run: RunRecord) -> bool:
        """Whether the run fulfils it; a run without the value does not."""
        found = value_of(run, self.name)
        if found is None:
            return False
        try:
            return _COMPARISONS[self.comparison](found, self.value)
        except TypeError:  # a text and a number have no order
            return False


def conditions(text: str) -> list[Condition]:
    """Parses conditions such as "model.norm=batch and auroc>=0.99"."""
    found = []
    for part in re.split(r"\s+and\s+", text):
        match = _CONDITION.fullmatch(part)
        if not match:
            raise UserError(
                f"{part!r} is not a condition; use for example 'model.norm=batch and auroc>=0.99'",
                flag="where",
            )
        name, comparison, value = match.groups()
        found.append(Condition(name, comparison, _parsed(value)))
    return found


def select(runs: Sequence[RunRecord], where: str | None, sort: str | None) -> list[RunRecord]:
    """The runs that fulfil `where`, the largest `sort` first; "-name" puts the smallest first.

    Runs without a value come last. Raises UserError for a name that no run has, and if no run is
    left.
    """
    wanted = [] if where is None else conditions(where)
    named = [("where", one.name) for one in wanted]
    named += [("sort", sort.lstrip("-"))] if sort else []
    for flag, name in named:
        if all(value_of(run, name) is None for run in runs):
            raise UserError(f"no run has {name!r}; {_known_names(name, runs)}", flag=flag)
    chosen = [run for run in runs if all(one.holds(run) for one in wanted)]
    if not chosen:
        found = "; ".join(_values_found(one.name, runs) for one in wanted)
        raise UserError(f"none of the {len(runs):,} runs fulfils {where!r}: {found}", flag="where")
    if not sort:
        return chosen
    name = sort.lstrip("-")
    known = [run for run in chosen if value_of(run, name) is not None]
    numbers = all(isinstance(value_of(run, name), int | float) for run in known)
    known.sort(
        key=lambda run: value_of(run, name) if numbers else str(value_of(run, name)),
        reverse=not sort.startswith("-"),
    )
    return [*known, *(run for run in chosen if value_of(run, name) is None)]


def value_of(run: RunRecord, name: str) -> Any:
    """The value of a field of the config, of a figure, or of a column; None if there is none."""
    if name in run.figures:
        return run.figures[name].value
    if name in _COLUMNS:
        return getattr(run, name)
    return run.config.get(name)


def _known_names(name: str, runs: Sequence[RunRecord]) -> str:
    """The name that was probably meant, or else the names that can be used."""
    others = sorted({*_COLUMNS, *(figure for run in runs for figure in run.figures)})
    fields = sorted({field for run in runs for field in run.config})
    if near := nearest_fields(name, [*fields, *others]):
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"use a field of the config such as model.norm, or one of {', '.join(others)}"


def _values_found(name: str, runs: Sequence[RunRecord]) -> str:
    """The values that a condition could have had, as in "epochs is 5, 10"."""
    found = {json.dumps(value) for run in runs if (value := value_of(run, name)) is not None}
    shown = ", ".join(sorted(found)[:_SHOWN]) + ", ..." * (len(found) > _SHOWN)
    return f"{name} is {shown}"


def changed_fields(runs: Sequence[RunRecord]) -> list[str]:
    """The fields in which the configs of readable runs differ.

    Those of the network and its training come first, and those of the films last, since runs that
    are compared mostly share their films. Within a group they are sorted by name.
    """
    configs = [run.config for run in runs if run.config]
    names = sorted(set().union(*configs), key=_importance) if configs else []
    return [
        name
        for name in names
        if len({json.dumps(config.get(name), sort_keys=True) for config in configs}) > 1
    ]


def _importance(field: str) -> tuple[int, str]:
    group = field.partition(".")[0]
    return _FIRST.index(group) if group in _FIRST else len(_FIRST) + (group in _LAST), field


def _parsed(text: str) -> Any:
    """A value as JSON or Python writes it; anything else is text."""
    literal = {"True": "true", "False": "false", "None": "null"}.get(text, text)
    if literal.startswith("(") and literal.endswith(")"):
        literal = f"[{literal[1:-1].rstrip(', ')}]"
    try:
        return json.loads(literal)
    except ValueError:
        return text
