"""Checks of JSON records that may come from a stranger: which field is wrong, in one line."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pneumojax.errors import UserError

# Records of a run take a few hundred kB; a much larger file would only fill the memory.
LARGEST_RECORD = 64_000_000  # bytes
_ABSENT = object()


class Field(NamedTuple):
    """One value in a record, and the check that it must pass."""

    place: tuple[str, ...]  # the keys that lead to it
    fits: Callable[[Any], bool]
    wanted: str  # the allowed values in words, for the message
    required: bool = True  # refuses a record that has the group but not this value


def first_wrong(record: dict[str, Any], fields: Iterable[Field]) -> str | None:
    """The first field that does not fit and why, such as "a.b is 3, not text"; None if all fit.

    If a group is absent or null, its fields are not checked.
    """
    for field in fields:
        *groups, name = field.place
        group: Any = record
        for key in groups:
            group = group.get(key) if isinstance(group, dict) else None
        if not isinstance(group, dict):
            continue
        value = group.get(name, _ABSENT)
        found = "absent" if value is _ABSENT else repr(value)[:60]
        if not (not field.required if value is _ABSENT else field.fits(value)):
            return f"{'.'.join(field.place)} is {found}, not {field.wanted}"
    return None


def read_record(path: Path, fields: Iterable[Field]) -> dict[str, Any]:
    """A JSON object from a file; raises UserError if it cannot be read or a field does not fit."""
    try:
        if path.stat().st_size > LARGEST_RECORD:
            raise ValueError(f"it is larger than {LARGEST_RECORD / 1e6:.0f} MB")
        record = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{str(path)!r} is damaged: {error}") from error
    if not isinstance(record, dict):
        raise UserError(f"{str(path)!r} is damaged: it is not a JSON object")
    if wrong := first_wrong(record, fields):
        raise UserError(f"{str(path)!r} cannot be used: {wrong}; take a whole copy of the run")
    return record


def is_text(value: Any) -> bool:
    """Whether a value is text."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """Whether a value is true or false."""
    return isinstance(value, bool)


def is_group(value: Any) -> bool:
    """Whether a value is a JSON object."""
    return isinstance(value, dict)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are not numbers."""
    # The limit is below the largest float: Python cannot convert larger integers to one.
    return type(value) in (int, float) and abs(value) <= 1e300


def is_positive(value: Any) -> bool:
    """Whether a value is a finite number above 0."""
    return is_number(value) and value > 0


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 to 2^53, beyond which float64 is not exact."""
    return type(value) is int and 0 <= value <= 2**53


def number_in(low: float, high: float) -> Callable[[Any], bool]:
    """Whether a value is a number in the closed range."""
    return lambda value: is_number(value) and low <= value <= high


def optional(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a value is null or fits."""
    return lambda value: value is None or fits(value)


def list_of(fits: Callable[[Any], bool], length: int | None = None) -> Callable[[Any], bool]:
    """Whether a value is a list whose items all fit, of `length` items if that is given."""
    return lambda value: (
        isinstance(value, list)
        and (length is None or len(value) == length)
        and all(fits(item) for item in value)
    )


def mapping_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a value is a JSON object whose values all fit."""
    return lambda value: isinstance(value, dict) and all(fits(item) for item in value.values())


def with_keys(names: Iterable[str]) -> Callable[[Any], bool]:
    """Whether a value is a JSON object that has no other keys than these."""
    known = frozenset(names)
    return lambda value: isinstance(value, dict) and value.keys() <= known


def is_measured(value: Any) -> bool:
    """Whether a value is a measured number, which may be infinite or NaN, or null."""
    return value is None or is_number(value) or (type(value) is float and not math.isfinite(value))
