"""The training run: films, network and config in, a run folder with checkpoints out."""

import contextlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax import runtime
from pneumojax.config.changes import IN_TRAINING
from pneumojax.data.films import CLASS_NAMES
from pneumojax.data.out_of_distribution import fit_distribution
from pneumojax.data.patients import contradiction_warning, count_contradictions
from pneumojax.data.pipeline import (
    films_per_epoch,
    steps_per_epoch,
    to_devices,
    training_batches,
)
from pneumojax.data.splits import Splits, load_splits, preprocessing_of
from pneumojax.errors import Stopped, UserError
from pneumojax.files import printable
from pneumojax.inference.batching import make_batched
from pneumojax.inference.decision import fit_decision, undecided
from pneumojax.inference.forward import make_forward
from pneumojax.inference.network import Network, make_network
from pneumojax.run.agreement import check_config, check_meta
from pneumojax.run.begin import begin
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.lock import locked
from pneumojax.run.provenance import versions, write_provenance
from pneumojax.run.stored_config import is_synthetic
from pneumojax.sharding import make_mesh, placed, replicated
from pneumojax.training.checks import check_batch, check_training
from pneumojax.training.compiling import compile_step
from pneumojax.training.logbook import Logbook, NoLogbook, Progress, epoch_line
from pneumojax.training.losses import class_weights
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.parameter_groups import groups_of, is_fine_tuning, print_groups
from pneumojax.training.selection import is_better, stops_early, validation_figures
from pneumojax.training.state import TrainState, evaluation_params, initial_state
from pneumojax.training.step import make_train_step
from pneumojax.training.step_monitor import StepWatch
from pneumojax.training.stopping import StopRequest
from pneumojax.training.warm_start import Source, start_from, weights_to_start_from


def train(
    config: ConfigDict,
    workdir: Path,
    cache_dir: Path,
    *,
    verify_films: bool = False,
    download: bool = False,
) -> None:
    """Trains to the last epoch, from wherever the run folder stands.

    Resume order: (1) the newest undamaged checkpoint in the run folder, (2) step 0, with the
    weights of `config.start` if it names any. The folder is held against other processes.

    Args:
        config: resolved and locked.
        workdir: absolute; made if absent.
        cache_dir: for decoded films and named sets, shared between runs.
        verify_films: hash every film again before trusting the cache.
        download: whether published weights to start from may be fetched.

    Raises:
        UserError: what the user can mend, in one line.
        Stopped: a signal asked for the end, and the last step is saved.
    """
    mesh = make_mesh()
    check_training(config, mesh)
    network = make_network(config)
    groups_of(config, network.divide(network.abstract_params)[0])  # names a stage that is not there
    checkpoints = Checkpoints(workdir / "checkpoints")
    source = None
    if not checkpoints.steps("latest"):
        source = weights_to_start_from(config, network, cache_dir, download=download)
    with runtime.leader_first("films"):
        sides = load_splits(config, cache_dir, verify=verify_films)
    visited = films_per_epoch(sides.train.labels, config.data.balanced)
    if note := check_batch(config, mesh, visited):
        print(note)
    with runtime.leader_first("run folder"):
        begin(workdir, config, IN_TRAINING)
    with locked(workdir) if runtime.is_leader() else contextlib.nullcontext():
        with runtime.leader_first("films' fingerprint"):
            write_provenance(workdir, sides, config)
        _describe(sides, workdir, config, mesh)
        _train_on(sides, config, workdir, network, mesh, checkpoints, source)


def _train_on(
    sides: Splits,
    config: ConfigDict,
    workdir: Path,
    network: Network,
    mesh: Mesh,
    checkpoints: Checkpoints,
    source: Source | None,
) -> None:
    """Prepares what the steps need, from the newest checkpoint on, and takes them."""
    visited = films_per_epoch(sides.train.labels, config.data.balanced)
    per_epoch = steps_per_epoch(visited, config.batch_size)
    last_step = config.epochs * per_epoch
    optimizer = make_optimizer(config, per_epoch)
    state, best = _resume_or_begin(config, optimizer, checkpoints, mesh)
    if source:
        state = start_from(source, network, state, workdir)
    if is_fine_tuning(config):
        print_groups(config, state.params, per_epoch)
    first_step = int(state.step)
    if first_step == last_step or stops_early(first_step // per_epoch, best, config):
        print(f"finished: this run has trained {first_step // per_epoch} of {config.epochs} epochs")
        return
    if first_step:
        print(f"resuming after step {first_step} of {last_step}")

    films = training_batches(
        sides.train,
        config.batch_size,
        seed=config.seed,
        start_step=first_step,
        balanced=config.data.balanced,
    )
    batches = to_devices(films, mesh)
    weights = class_weights(sides.train.labels, config.loss.class_weights)
    train_step = make_train_step(config, network, optimizer, per_epoch, mesh, weights)
    train_step = compile_step(train_step, state, config, mesh)
    score = make_batched(make_forward(network, mesh), mesh, config.batch_size)
    stamp = {"synthetic": True} if is_synthetic(config) else {}
    logbook = (
        Logbook(workdir, first_step, tensorboard=config.log.tensorboard, stamp=stamp)
        if runtime.is_leader()
        else NoLogbook()
    )
    progress = Progress(config.epochs, per_epoch, config.batch_size)
    watch = StepWatch(config, workdir, sides.train, per_epoch, batches, logbook, progress)
    meta = _meta(config, sides)

    with StopRequest() as stop:
        for step in range(first_step + 1, last_step + 1):
            state, metrics = train_step(state, batch := watch.next_batch())
            watch.dispatched(step, metrics, batch["film"])
            epoch, ends_epoch = (step - 1) // per_epoch + 1, step % per_epoch == 0
            asked_to_stop = stop.reached(step)
            due = ends_epoch or asked_to_stop or _due(step, config.checkpoint.every_steps)
            if not due:
                continue
            watch.pause(state)
            if ends_epoch:
                figures = watch.epoch_figures(state.epoch_sums)
                if sides.validation:
                    logits = score(evaluation_params(network, state), sides.validation)
                    figures |= validation_figures(sides.validation.labels, logits)
                logbook.write("epoch", step, epoch, figures)
                progress.line(epoch_line(epoch, config.epochs, figures))
            logbook.flush()  # before the checkpoint: a resume keeps the lines up to it
            if ends_epoch and is_better(figures, best, config):
                best = figures | {"epoch": epoch}
                fitted = {"epoch": epoch, "figures": figures}
                if sides.validation:
                    decision = fit_decision(config.decision, sides.validation.labels, logits)
                    fitted["decision"] = decision._asdict()
                checkpoints.save_best(step, evaluation_params(network, state), meta | fitted)
            checkpoints.save_latest(step, state.items(), meta | {"epoch": epoch, "best": best})
            if asked_to_stop:
                logbook.close()
                if runtime.is_multiprocess():
                    runtime.leave()  # else the first to end would be lost to those that still write
                raise Stopped(asked_to_stop, f"saved after step {step:,} of {last_step:,}")
            if ends_epoch and stops_early(epoch, best, config):
                patience = config.early_stopping.patience
                print(
                    f"stopping: {patience} epochs without a better {config.checkpoint.best_metric}"
                )
                break
            watch.resume()
    logbook.close()


def _resume_or_begin(
    config: ConfigDict,
    optimizer: optax.GradientTransformation,
    checkpoints: Checkpoints,
    mesh: Mesh,
) -> tuple[TrainState, dict | None]:
    """The newest state and the best validation figures so far, or step 0 and None."""
    begin = jax.jit(lambda: initial_state(config, optimizer), out_shardings=replicated(mesh))
    abstract = placed(jax.eval_shape(begin), mesh)
    restored = checkpoints.restore_latest(abstract.items())
    if restored is None:
        return begin(), None
    items, meta = restored
    check_meta(meta, checkpoints.workdir)
    check_config(meta, config, checkpoints.workdir)
    if "best" not in meta:
        raise UserError(
            f"--workdir: the checkpoint in {str(checkpoints.workdir)!r} cannot be used: its "
            "metadata's best is absent, so that a worse one could replace the best"
        )
    return TrainState.from_items(items), meta["best"]


def _meta(config: ConfigDict, sides: Splits) -> dict[str, Any]:
    """What a checkpoint says about itself, apart from its step."""
    return {
        "config": config.to_dict(),
        "preprocessing": preprocessing_of(config).as_dict(),
        "class_names": list(CLASS_NAMES),
        "films": sides.fingerprint,
        "synthetic": is_synthetic(config),
        "decision": undecided("no validation film")._asdict(),  # the best one's own replaces it
        "scope": fit_distribution(sides.train),
        "versions": versions(),
    }


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _describe(sides: Splits, workdir: Path, config: ConfigDict, mesh: Mesh) -> None:
    """Says what is about to be trained on what."""
    pneumonia = float(np.mean(sides.train.labels))
    stamp = "  [synthetic films]" if is_synthetic(config) else ""
    print(f"run: {printable(str(workdir))}{stamp}")
    print(f"devices: {mesh.size} x {mesh.devices.flat[0].device_kind}")
    print(
        f"films: {len(sides.train):,} to train on, {pneumonia:.1%} pneumonia; "
        f"{len(sides.rejected)} unreadable left out, {sides.train.ignored} other files ignored"
    )
    other = count_contradictions(sides.train.paths, sides.train.labels)
    if warning := contradiction_warning(other, len(sides.train)):
        print(warning)
    print(sides.audit.line(), flush=True)
