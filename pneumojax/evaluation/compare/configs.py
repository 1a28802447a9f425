"""In which fields the configs of compared runs differ, as far as they are known."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pneumojax.config import flatten
from pneumojax.errors import UserError

_LARGEST = 64 << 20  # bytes of a JSON file to look for a config in; the largest of ours have 1 MB
_ABSENT = "absent"


class FieldDifference(NamedTuple):
    """A field of the config, and its value in each network by the network's name."""

    field: str
    values: Mapping[str, Any]


def read_config_of(csv: Path) -> dict[str, Any] | None:
    """The flat config of the run that a CSV of predictions is of; None where none lies near it.

    An evaluation has it in metrics.json beside its CSV; a run folder in config.json.
    """
    for path, key in (
        (csv.parent / "metrics.json", "config"),
        (csv.parent / "config.json", None),
        (csv.parent.parent.parent / "config.json", None),
    ):
        if key is None and path.parent != csv.parent and csv.parent.parent.name != "evaluation":
            continue
        found = _read(path)
        config = found.get(key) if key else found
        if isinstance(config, dict) and config:
            try:
                return flatten(config)
            except (UserError, RecursionError):
                continue
    return None


def field_differences(configs: Mapping[str, Mapping[str, Any]]) -> list[FieldDifference]:
    """The fields that are not the same in all of two or more flat configs."""
    fields = sorted(set().union(*configs.values()))
    found = []
    for field in fields:
        values = {name: config.get(field, _ABSENT) for name, config in configs.items()}
        first, *others = values.values()
        if any(value != first for value in others):
            found.append(FieldDifference(field, values))
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
