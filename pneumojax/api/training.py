"""Training and the evaluation after it, which the command line and programs share."""

from pathlib import Path

from ml_collections import ConfigDict

from pneumojax.config.check import check
from pneumojax.config.load import resolve
from pneumojax.errors import UserError
from pneumojax.evaluation.evaluate import evaluate_run
from pneumojax.inference.trained_run import fit_changed_decision
from pneumojax.training.loop import train


def train_and_evaluate(
    config: ConfigDict,
    workdir: Path,
    cache_dir: Path,
    *,
    verify_films: bool = False,
    download: bool = False,
) -> None:
    """Trains to the last epoch, and evaluates on the validation films if there are any.

    The arguments are those of `training.loop.train`. The network class that the config names is
    imported, whichever it is.
    """
    train(config, workdir, cache_dir, verify_films=verify_films, download=download)
    if has_validation(config):
        fit_changed_decision(workdir, cache_dir, any_network=True)
        evaluate_run([workdir], cache_dir, any_network=True)


def has_validation(config: ConfigDict) -> bool:
    """Whether a run of this config has validation films."""
    return bool(config.data.val == "folder" or config.data.val_fraction > 0 or config.data.folds)


def checked(config: ConfigDict) -> ConfigDict:
    """A copy of a config that was checked, resolved and locked; raises UserError."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"config is {type(config).__name__}; pass a ConfigDict of get_config")
    config = config.copy_and_resolve_references()
    check(config)
    return resolve(config).lock()
