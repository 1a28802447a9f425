"""What a config must say for training, beyond what its parts check themselves."""

from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.augment.augment import check_augment
from pneumojax.errors import UserError
from pneumojax.inference.decision import check_decision
from pneumojax.training.losses import check_loss
from pneumojax.training.optimizer import check_optimizer


def check(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError for a field that nothing further down would name."""
    if config.epochs < 1:
        raise UserError(f"config.epochs is {config.epochs}: train for at least 1.")
    if config.batch_size < 1 or config.batch_size % mesh.size:
        raise UserError(
            f"config.batch_size is {config.batch_size}: it must be a positive multiple of the "
            f"{mesh.size} devices it is split over."
        )
    if config.statistics_over not in ("devices", "device"):
        raise UserError(
            f"config.statistics_over is {config.statistics_over!r}: use 'devices' or 'device'."
        )
    if config.checkpoint.best_metric not in ("auroc", "loss", "last"):
        raise UserError(
            f"config.checkpoint.best_metric is {config.checkpoint.best_metric!r}: "
            "use 'auroc', 'loss' or 'last'."
        )
    if config.early_stopping.patience < 0:
        raise UserError(
            f"config.early_stopping.patience is {config.early_stopping.patience}: it is 0 or more."
        )
    if config.early_stopping.patience and config.checkpoint.best_metric == "last":
        raise UserError(
            "config.early_stopping.patience needs a config.checkpoint.best_metric of 'auroc' or "
            "'loss': with 'last' every epoch is better than the one before."
        )
    if not 0 <= config.average.decay < 1:
        raise UserError(
            f"config.average.decay is {config.average.decay}: it is 0 or more, and below 1."
        )
    check_augment(config.augment)
    check_decision(config.decision)
    check_loss(config)
    check_optimizer(config)


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
