"""What decides a run's traced programs beside the numbers that they are given."""

from typing import Any

from ml_collections import ConfigDict

from pneumojax.config.flat import flatten
from pneumojax.inference.network import program_key
from pneumojax.training.parameter_groups import is_fine_tuning

# Fields of a config that no traced step depends on, by the beginnings of their names. All others
# count, so a new field is traced anew until it is listed here.
_OUTSIDE_THE_STEP = (
    "checkpoint.",
    "data.",  # but for `_OF_FILMS`
    "decision.",
    "early_stopping.",
    "epochs",
    "log.",
    "name",
    "seed",
    "start.",
    "train.",
)
_OF_FILMS = ("data.image_size", "data.normalise")


def recipe_of(config: ConfigDict, steps_per_epoch: int) -> list[Any] | None:
    """What decides the traced step of a run beside its `RunNumbers`, as JSON values.

    It is None where the step depends on more: on a network class of the user's own, or on teachers.
    """
    if program_key(config, "step") is None or config.distill.teachers:
        return None
    fields = {
        name: value
        for name, value in flatten(config).items()
        if name in _OF_FILMS or not name.startswith(_OUTSIDE_THE_STEP)
    }
    settings = config.optimizer
    has_schedule = settings.schedule != "constant" or settings.warmup_epochs
    if has_schedule or is_fine_tuning(config):
        return [fields, config.epochs, steps_per_epoch]
    return [fields]
