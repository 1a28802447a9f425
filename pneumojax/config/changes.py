"""Which fields of a run's config may change after the run has begun."""

from collections.abc import Mapping
from typing import Any

from pneumojax.config.flat import Difference, differences
from pneumojax.errors import UserError

# A changed decision rule is fitted again on the validation films, without any training.
AFTER_TRAINING = frozenset(
    {
        "data.max_cache_gb",
        "decision.rule",
        "decision.min_sensitivity",
        "decision.cost_ratio",
        "decision.temperature",
    }
)
# These leave the steps already taken as they are. A run may only get more epochs.
IN_TRAINING = AFTER_TRAINING | {
    "epochs",
    "checkpoint.every_steps",
    "log.every_steps",
    "log.tensorboard",
}


def accepted_changes(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], may_change: frozenset[str], run: str
) -> list[Difference]:
    """The fields in which `wanted` changes a run's stored config, all of which may change.

    Args:
        may_change: `IN_TRAINING`, `AFTER_TRAINING` or none.
        run: the run folder, for the message.

    Raises:
        UserError: another field differs, or the run would get fewer epochs.
    """
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
