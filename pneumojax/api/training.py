"""The steps around training that the command line and programs share."""

from pathlib import Path

from ml_collections import ConfigDict

from pneumojax.config.check import check
from pneumojax.config.load import resolve
from pneumojax.errors import UserError
from pneumojax.run.stored_config import has_validation
from pneumojax.tracking.relays import open_relays, report_files


def checked(config: ConfigDict) -> ConfigDict:
    """A copy of a config that was checked, resolved and locked; raises UserError."""
    if not isinstance(config, ConfigDict):
        raise UserError(f"config is {type(config).__name__}; pass a ConfigDict of get_config")
    config = config.copy_and_resolve_references()
    check(config)
    return resolve(config).lock()


def evaluate_trained(config: ConfigDict, workdir: Path, cache_dir: Path) -> None:
    """Evaluates a run of this config on its validation films, if it has any.

    The report goes to the trackers of the config.
    The network class that the config names is imported, whichever it is.
    """
    if has_validation(config):
        # Imported here, because it takes a second that the first step need not wait for.
        from pneumojax.evaluation.evaluate import evaluate_run

        with open_relays(workdir, config) as relays:
            evaluate_run([workdir], cache_dir, any_network=True)
            relays.keep("evaluation-val", report_files(workdir / "evaluation" / "val", workdir))
