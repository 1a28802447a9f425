"""A nested config as a flat mapping, and the differences between two configs."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from pneumojax.errors import UserError


class Difference(NamedTuple):
    """A field in which two configs differ; "absent" stands for a value that is not there."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field}: {self.before!r} -> {self.after!r}"


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mapping -> {"data.root": value, ...}, with tuples as lists, as JSON returns them."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
            continue
        try:
            flat[prefix + key] = json.loads(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"config.{prefix}{key}: a config holds only numbers, text, True, False and tuples "
                f"of them ({error})"
            ) from error
    return flat


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """The fields in which two configs differ, sorted by name."""
    a, b = flatten(before), flatten(after)
    return [
        Difference(name, a.get(name, "absent"), b.get(name, "absent"))
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name) or (name in a) != (name in b)
    ]
