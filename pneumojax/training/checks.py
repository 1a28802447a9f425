"""Checks of a config that need the devices or the films."""

from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.config.check import check, wrong_value
from pneumojax.errors import UserError


def check_training(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError for a field with a wrong value, or a batch that the devices cannot share."""
    check(config)
    if config.batch_size % mesh.size:
        rule = f"it must be a multiple of the {mesh.size} devices that share it"
        raise UserError(wrong_value("batch_size", config.batch_size, rule))


def check_batch(config: ConfigDict, mesh: Mesh, films: int) -> str:
    """A note to print if a batch is larger than the films of an epoch, otherwise "".

    Such a batch is filled up with copies that count for nothing, so a step takes longer and learns
    no more. A batch size of at least twice the films is refused rather than lowered, because a
    smaller batch would be another recipe.

    Args:
        films: how many films an epoch visits.
    """
    if config.batch_size <= max(films, mesh.size):
        return ""
    most = max(films // mesh.size, 1) * mesh.size
    counts = f"config.batch_size is {config.batch_size:,} and there are {films:,} training films"
    if config.batch_size >= 2 * max(films, mesh.size):
        raise UserError(f"{counts} in an epoch: use at most {most:,}")
    padding = config.batch_size - films
    return (
        f"note: {counts} in an epoch, so each step is filled up with {padding:,} copies, which "
        "count for nothing"
    )
