"""The fields in which the configs of compared runs differ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pneumojax.config.flat import flatten
from pneumojax.errors import UserError

_LARGEST = 64 << 20  # bytes; larger JSON files are not searched for a config
_ABSENT = "absent"


@dataclass(frozen=True)
class FieldDifference:
    """A field of the config, and its value in each network by the network's name."""

    field: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class ConfigDifferences:
    known: Sequence[str]
    unknown: Sequence[str]
    different: Sequence[FieldDifference]


def config_differences(predictions: Mapping[str, Path]) -> ConfigDifferences:
    """Compares the configs that lie beside the CSVs of predictions."""
    found = {name: _read_config_of(path) for name, path in predictions.items()}
    known = {name: config for name, config in found.items() if config is not None}
    unknown = [name for name in found if name not in known]
    rows = (
        FieldDifference(field, {name: config.get(field, _ABSENT) for name, config in known.items()})
        for field in sorted(set().union(*known.values()))
    )
    different = [row for row in rows if any(a != b for a, b in pairwise(row.values.values()))]
    return ConfigDifferences(list(known), unknown, different)


def _read_config_of(csv: Path) -> dict[str, Any] | None:
    """The flat config of the run that made a CSV of predictions; None where it is not found.

    It is looked for in metrics.json of the evaluation, then in config.json of the run folder.
    """
    folder = csv.parent
    found = [_read(folder / "metrics.json").get("config"), _read(folder / "config.json")]
    if folder.parent.name == "evaluation":
        found.append(_read(folder.parent.parent / "config.json"))
    for config in found:
        if isinstance(config, dict) and config:
            try:
                return flatten(config)
            except (UserError, RecursionError):
                continue
    return None


def _read(path: Path) -> dict[str, Any]:
    """An empty object where the file cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
