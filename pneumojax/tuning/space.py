"""The fields that a study searches, read from a TOML file.

A line of the file is a field with its range, such as
`optimizer.learning_rate = { low = 1e-4, high = 1e-2, scale = "log" }`, or with a list of values,
such as `model.norm = { values = ["none", "batch"] }`.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax.config.check import check
from pneumojax.config.flat import flatten
from pneumojax.config.load import nearest_fields, resolve
from pneumojax.errors import UserError
from pneumojax.fields import is_number

_SCALES = ("linear", "log")
_KEYS = {"low", "high", "scale", "step"}
_ROUNDING = 1e-6  # of a number of steps such as 0.3 / 0.1


@dataclass(frozen=True)
class Range:
    """A field with a range; `low` and `high` are included.

    is_whole: whether the field takes whole numbers.
    is_log: whether the logarithm is drawn evenly instead of the value.
    step: distance of the values from `low` on; None for any value of the range.
    """

    field: str
    low: float
    high: float
    is_whole: bool
    is_log: bool
    step: float | None


@dataclass(frozen=True)
class Choice:
    """A field with a list of values."""

    field: str
    values: tuple[Any, ...]

    @property
    def labels(self) -> tuple[Any, ...]:
        """The values as Optuna stores them. Optuna has no lists, so lists become JSON."""
        return tuple(json.dumps(v) if isinstance(v, list) else v for v in self.values)

    def value_of(self, label: Any) -> Any:
        """The value that a label stands for."""
        return self.values[self.labels.index(label)]


Space = tuple[Range | Choice, ...]


def read_space(path: Path, config: ConfigDict) -> Space:
    """Reads the fields of a file; raises UserError for a field that `config` lacks."""
    try:
        record = tomllib.loads(path.read_text())
    except OSError as error:
        raise _wrong(path, f"it cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, str(error)) from error
    try:
        return space_of(record, config)
    except UserError as error:
        raise _wrong(path, str(error)) from error


def space_of(record: Mapping[str, Any], config: ConfigDict) -> Space:
    """The searched fields from nested values, as TOML and JSON have them; sorted by name.

    Raises UserError for an unknown field, and for an end of a range or a value that is not allowed.
    """
    fields, known = _entries(record), flatten(config)
    if not fields:
        raise UserError("it names no field; write for example model.dropout = {low = 0, high = 1}")
    for name in fields:
        if name not in known:
            near = " or ".join(nearest_fields(name, known))
            raise UserError(
                f"there is no field {name!r}" + (f"; did you mean {near}?" * bool(near))
            )
    space = tuple(_searched(name, fields[name], known[name]) for name in sorted(fields))
    for field in space:  # a value that the config refuses would fail every trial that gets it
        for value in field.values if isinstance(field, Choice) else (field.low, field.high):
            config_with(config, {field.field: value})
    return space


def config_with(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """The config of a trial: checked, resolved and locked; raises UserError if it is wrong."""
    changed = config.copy_and_resolve_references().unlock()
    for name, value in values.items():
        *groups, leaf = name.split(".")
        reduce(getitem, groups, changed)[leaf] = _as_tuple(value)
    check(changed)
    return resolve(changed).lock()


def record_of(space: Space) -> dict[str, dict[str, Any]]:
    """The space as JSON values, which `space_of` reads."""
    record: dict[str, dict[str, Any]] = {}
    for field in space:
        if isinstance(field, Choice):
            record[field.field] = {"values": list(field.values)}
            continue
        number = int if field.is_whole else float
        record[field.field] = {"low": number(field.low), "high": number(field.high)}
        record[field.field] |= {"scale": "log"} if field.is_log else {}
        record[field.field] |= {} if field.step is None else {"step": number(field.step)}
    return record


def _entries(record: Mapping[str, Any], prefix: str = "") -> dict[str, Mapping[str, Any]]:
    """{"model.dropout": {"low": 0, "high": 1}}: TOML reads a name with dots as nested tables."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, value in record.items():
        if not isinstance(value, Mapping):
            raise UserError(f"{prefix}{name} has neither low and high nor values")
        if "values" in value or {"low", "high"} & value.keys():
            found[prefix + name] = value
        else:
            found |= _entries(value, f"{prefix}{name}.")
    return found


def _searched(name: str, entry: Mapping[str, Any], current: Any) -> Range | Choice:
    if "values" in entry:
        values = entry["values"]
        if entry.keys() != {"values"} or not isinstance(values, Sequence) or len(values) < 2:
            raise UserError(f"{name}: use values = [...] with two or more values, and nothing else")
        return Choice(name, tuple(_as_in_config(name, value, current) for value in values))
    if odd := sorted(entry.keys() - _KEYS):
        raise UserError(f"{name}: {odd[0]!r} is unknown; use {', '.join(sorted(_KEYS))} or values")
    if type(current) not in (int, float):
        raise UserError(f"{name} is no number, so it has no range; use values = [...]")
    numbers = [entry.get("low"), entry.get("high"), entry.get("step", 1)]
    if not all(map(is_number, numbers)) or not numbers[0] < numbers[1] or numbers[2] <= 0:
        raise UserError(f"{name}: use numbers with low below high, and a step above 0")
    is_whole = type(current) is int
    if is_whole and any(number != int(number) for number in numbers):
        raise UserError(f"{name} takes whole numbers only")
    steps = (numbers[1] - numbers[0]) / numbers[2]
    if "step" in entry and abs(steps - round(steps)) > _ROUNDING:
        raise UserError(f"{name}: high must lie a whole number of steps above low")
    scale = entry.get("scale", "linear")
    if scale not in _SCALES or (scale == "log" and (numbers[0] <= 0 or "step" in entry)):
        raise UserError(f"{name}: scale is linear or log; log needs low above 0, and no step")
    return Range(name, numbers[0], numbers[1], is_whole, scale == "log", entry.get("step"))


def _as_in_config(name: str, value: Any, current: Any) -> Any:
    """A listed value with the type of the field; TOML writes 0 where a float is meant."""
    if isinstance(current, float) and type(value) is int:
        return float(value)
    if type(value) is not type(current):
        kind = type(current).__name__
        raise UserError(f"{name}: {value!r} is not of the field's type, which is {kind}")
    return value


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _wrong(path: Path, reason: str) -> UserError:
    return UserError(f"{str(path)!r}: {reason}", flag="space")
