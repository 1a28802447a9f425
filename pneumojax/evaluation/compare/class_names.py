"""Finds the names of the two classes in a CSV of predictions."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pneumojax.data.classes import CLASS_NAMES, ClassNames
from pneumojax.numerals import probability

_DEFAULT = {name.casefold() for name in CLASS_NAMES}


def find_class_names(path: Path, rows: Sequence[Mapping[str, str]]) -> ClassNames:
    """The names of the classes in the columns `label` and `call`.

    If the names are not NORMAL and PNEUMONIA, the metrics.json beside the file says which class is
    positive, or else the calls do: the film with the highest probability is called positive. If
    neither helps, the names are taken to be NORMAL and PNEUMONIA, and the reader of the rows
    refuses the first other name.
    """
    found = {_cell(row, column) for row in rows for column in ("label", "call")} - {""}
    if {name.casefold() for name in found} <= _DEFAULT or len(found) > 2:
        return CLASS_NAMES
    names = _of_evaluation(path) or _of_calls(rows)
    return names if names and found <= set(names) else CLASS_NAMES


def _of_evaluation(path: Path) -> ClassNames | None:
    try:
        classes = json.loads(path.with_name("metrics.json").read_text())["by_class"]
        return ClassNames(str(classes[0]["class"]), str(classes[1]["class"]))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _of_calls(rows: Sequence[Mapping[str, str]]) -> ClassNames | None:
    called = []
    for row in rows:
        try:
            called.append((probability(_cell(row, "probability")), _cell(row, "call")))
        except ValueError:  # the reader of the rows refuses it
            continue
    if not called:
        return None
    names = ClassNames(min(called)[1], max(called)[1])
    return names if all(names) and names.negative != names.positive else None


def _cell(row: Mapping[str, str], column: str) -> str:
    return (row.get(column) or "").strip()  # a row that is too short has None
