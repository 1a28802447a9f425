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
    """A line to print where a batch is larger than the films of an epoch, else "".

    Every step then holds the same films and is filled up with copies that count for nothing, so a
    step takes longer without learning more. A smaller batch would be another recipe, so a field
    that asks for twice the films or more is refused instead of lowered.

    Args:
        films: how many an epoch visits.

    Raises:
        UserError: the batch is at least twice as large as the films.
    """
    if config.batch_size <= max(films, mesh.size):
        return ""
    most = max(films // mesh.size, 1) * mesh.size
    what = f"config.batch_size is {config.batch_size:,} and there are {films:,} training films"
    if config.batch_size >= 2 * max(films, mesh.size):
        raise UserError(f"{what} in an epoch: use at most {most:,}.")
    padding = config.batch_size - films
    return (
        f"note: {what} in an epoch, so each step is filled up with {padding:,} copies, which "
        "count for nothing"
    )
