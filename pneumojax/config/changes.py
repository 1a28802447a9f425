"""The fields of a run's config that may change after the run has begun."""

from collections.abc import Mapping
from typing import Any

from pneumojax.config.flat import Difference, differences
from pneumojax.errors import UserError

# A changed decision rule only needs a new fit on the validation films.
AFTER_TRAINING = frozenset(
    {
        "data.max_cache_gb",
        "decision.rule",
        "decision.min_sensitivity",
        "decision.cost_ratio",
        "decision.temperature",
    }
)
# These do not affect the steps already taken. The number of epochs may only grow.
IN_TRAINING = AFTER_TRAINING | {
    "epochs",
    "checkpoint.every_steps",
    "log.every_steps",
    "log.tensorboard",
}


def accepted_changes(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], may_change: frozenset[str], run: str
) -> list[Difference]:
    """The differences between a run's stored config and `wanted`, if all of them are allowed."""
    found = differences(stored, wanted)
    refused = [change for change in found if change.field not in may_change]
    if refused:
        raise UserError(
            f"--workdir: {run!r} is a run of another config ({'; '.join(map(str, refused))}); "
            "name another folder or use that config"
        )
    for change in found:
        if change.field == "epochs" and change.after < change.before:
            raise UserError(
                f"--workdir: {run!r} is a run of another config ({change}); a run can be given "
                "more epochs but not fewer"
            )
    return found
