"""The figures that a study optimises, read from the files of a run.

A name that begins with val_ or train_ is a figure of metrics.jsonl at the run's best epoch. Every
other name is a place in evaluation/val/metrics.json, such as auroc or robustness.stress.mean.auroc,
and such trials are evaluated after training.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.fields import is_number
from pneumojax.run.history import read_history
from pneumojax.training.selection import Figures, is_better


@dataclass(frozen=True)
class Objective:
    """A figure and whether larger values of it are better."""

    name: str
    is_maximised: bool

    def __str__(self) -> str:
        return self.name if self.is_maximised else f"-{self.name}"

    @property
    def is_of_an_epoch(self) -> bool:
        return self.name.startswith(("val_", "train_"))

    @property
    def by_epoch(self) -> str:
        """The figure of an epoch by which a trial is pruned."""
        if self.is_of_an_epoch:
            return self.name
        return "val_auroc" if self.is_maximised else "val_loss"


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """Reads names with commas between them; a figure after a minus sign is minimised."""
    names = [name.strip() for name in text.split(",")]
    objectives = tuple(
        Objective(name.removeprefix("-"), not name.startswith("-")) for name in names
    )
    if not all(one.name for one in objectives) or len(set(names)) < len(names):
        raise UserError(
            f"{text!r} is not a list of different figures; use for example auroc or "
            "auroc,-calibration.calibrated.brier",
            flag="objective",
        )
    return objectives


def values_of(objectives: Sequence[Objective], run: Path, config: ConfigDict) -> list[float]:
    """The objectives of a finished run; raises UserError if one is absent or undefined."""
    epoch, evaluation = best_epoch(run, config), None
    values: list[float] = []
    for objective in objectives:
        value: Any
        if objective.is_of_an_epoch:
            value = epoch.get(objective.name)
        else:
            evaluation = evaluation or _evaluation(run)
            value = _figure(evaluation, objective.name)
        if not is_number(value):
            raise UserError(f"the run has no figure {objective.name!r}, or it is undefined")
        values.append(float(value))
    return values


def best_epoch(run: Path, config: ConfigDict) -> Figures:
    """The line of metrics.jsonl of the epoch whose checkpoint the run kept as its best."""
    best: Figures | None = None
    for line in read_history(run):
        if is_better(_without_null(line), best, config):
            best = _without_null(line)
    if best is None:
        raise UserError("the run has no epoch")
    return best


def _without_null(line: dict[str, Any]) -> Figures:
    """The figures of an epoch; JSON has null for those that are not finite."""
    return {name: math.nan if value is None else value for name, value in line.items()}


def _evaluation(run: Path) -> dict[str, Any]:
    return json.loads((run / "evaluation" / "val" / "metrics.json").read_text())


def _figure(record: Any, name: str) -> Any:
    """The value at a place such as "calibration.calibrated.brier"; None if there is none."""
    for key in name.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record.get("value") if isinstance(record, dict) else record
