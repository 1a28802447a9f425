"""Flattens nested configs, and finds the differences between two that a run may or may not take."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from pneumojax.errors import UserError

# A changed decision rule only needs a new fit on the validation films. Trackers change no number.
AFTER_TRAINING = frozenset(
    {
        "data.max_cache_gb",
        "data.ignored",
        "decision.rule",
        "decision.min_sensitivity",
        "decision.cost_ratio",
        "decision.temperature",
        "log.trackers",
        "log.tracker_seconds",
    }
)
# These do not affect the steps already taken. The number of epochs may only grow.
IN_TRAINING = AFTER_TRAINING | {
    "epochs",
    "data.resident",
    "data.resident_share",
    "train.steps_per_call",
    "checkpoint.every_steps",
    "log.every_steps",
    "log.tensorboard",
}


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


def accepted_changes(
    stored: Mapping[str, Any],
    wanted: Mapping[str, Any],
    may_change: frozenset[str],
    run: str,
    *,
    advice: str = "name another folder or use that config",
) -> list[Difference]:
    """The differences between a run's stored config and `wanted`.

    Raises:
        UserError: some of them are not allowed. The message ends with `advice`.
    """
    found = differences(stored, wanted)
    refused = [change for change in found if change.field not in may_change]
    if refused:
        raise UserError(
            f"{run!r} is a run of another config ({'; '.join(map(str, refused))}); {advice}",
            flag="workdir",
        )
    for change in found:
        if change.field == "epochs" and change.after < change.before:
            raise UserError(
                f"{run!r} is a run of another config ({change}); a run can be given more epochs "
                "but not fewer",
                flag="workdir",
            )
    return found
