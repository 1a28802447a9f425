"""Fits a decision rule that changed after training, on the run's validation films."""

from pathlib import Path

from pneumojax.data.splits import load_splits
from pneumojax.errors import UserError
from pneumojax.inference.decision import fit_decision
from pneumojax.inference.forward import make_batched, make_forward
from pneumojax.inference.trained_run import open_run
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.run.agreement import check_before
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.decision import current_decision, write_decision
from pneumojax.run.stored_config import read_config


def fit_changed_decision(workdir: Path, cache_dir: Path, *, any_network: bool = False) -> bool:
    """Fits the run's decision anew if it was fitted by another rule than the config's.

    `any_network` is that of `open_run`. Returns whether a decision was fitted.
    """
    if not (workdir / "config.json").exists():
        return False  # a cross-validation, whose decision is fitted out of fold
    config = read_config(workdir)
    checkpoints = Checkpoints(workdir / "checkpoints")
    check_before(checkpoints, config)
    meta = checkpoints.newest_meta("best", "latest")
    if meta is None or current_decision(workdir, config, meta):
        return False
    trained = open_run(workdir, any_network=any_network)
    splits = load_splits(trained.config, cache_dir)
    if splits.validation is None:
        raise UserError(
            f"--workdir: {str(workdir)!r} has no validation films to fit its decision rule on"
        )
    if splits.fingerprint != trained.meta["films"]:
        raise UserError(
            f"config.data.root: the films have changed since {str(workdir)!r} was trained; "
            "restore them to fit its decision rule"
        )
    forward = make_forward(trained.network, trained.mesh)
    logits_of = make_batched(forward, trained.mesh, FILMS_IN_CACHE * trained.mesh.size)
    logits = logits_of(trained.params, splits.validation)
    decision = fit_decision(trained.config.decision, splits.validation.labels, logits)
    write_decision(workdir, trained.config, trained.meta, decision._asdict())
    print(
        f"fitted the {decision.rule} rule on {decision.films:,} validation films: "
        f"threshold {decision.threshold:.3f}"
    )
    return True
