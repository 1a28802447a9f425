"""Figures with their intervals, read from the files of an evaluation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pneumojax.fields import Field, is_group, is_number, optional

NAMES = (
    *("auroc", "sensitivity", "specificity", "balanced_accuracy", "accuracy"),
    *("positive_predictive_value", "negative_predictive_value", "average_precision", "mcc"),
)


@dataclass(frozen=True)
class Figure:
    """A metric with the limits of its 95 % interval; nan where they are undefined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.low) or math.isnan(self.high):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def fields_of_figures(*place: str) -> list[Field]:
    """The fields of figures at a place in a record, by default at the top."""
    wanted = optional(is_number), "null or a finite number"
    keys = ("value", "low", "high")
    return [
        *(Field((*place, name), is_group, "an object", required=False) for name in NAMES),
        *(Field((*place, name, key), *wanted, required=False) for name in NAMES for key in keys),
    ]


def figures_in(record: Mapping[str, Any]) -> dict[str, Figure]:
    """The figures named in `NAMES` that a metrics.json holds."""
    found = {name: record[name] for name in NAMES if name in record}
    return {
        name: Figure(*(_number(entry.get(key)) for key in ("value", "low", "high")))
        for name, entry in found.items()
    }


def _number(value: float | None) -> float:
    """JSON has no nan, so it stores None."""
    return math.nan if value is None else float(value)
