"""The training run: films, network and config in, a run folder with checkpoints out."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

import jax
from ml_collections import ConfigDict

from pneumojax import runtime
from pneumojax.config.flat import IN_TRAINING
from pneumojax.data.pipeline import Batch, BatchOrder, Calls
from pneumojax.data.splits import load_splits
from pneumojax.errors import Stopped
from pneumojax.inference.decision import fit_decision
from pneumojax.inference.forward import MeshStep, make_forward, outputs_of
from pneumojax.inference.network import make_network, program_key
from pneumojax.run.begin import begin, locked
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.provenance import write_provenance
from pneumojax.sharding import make_mesh, on_all_devices
from pneumojax.terminal import say
from pneumojax.tracking.logbook import Logbook, open_logbook
from pneumojax.tracking.relays import check_trackers, network_files, open_relays
from pneumojax.tracking.tracker import Record
from pneumojax.training.calls import CompiledCalls, make_input
from pneumojax.training.compiling import Held
from pneumojax.training.distillation import open_teachers, record_teachers
from pneumojax.training.losses import class_factors
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.parameter_groups import groups_of, is_fine_tuning, print_groups
from pneumojax.training.progress import StepClock, TrainingProgress
from pneumojax.training.selection import (
    Figures,
    guessing_loss,
    is_better,
    no_better_than_guessing,
    stops_early,
    validation_figures,
)
from pneumojax.training.setup import (
    Setup,
    check_batch,
    check_training,
    checkpoint_meta,
    describe,
    resume_or_begin,
)
from pneumojax.training.state import EpochSums, TrainState, evaluation_params
from pneumojax.training.step import make_train_step, run_numbers
from pneumojax.training.step_monitor import DispatchedCall, StepMonitor
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
    """Trains to the last epoch, from the newest checkpoint if the run folder has one.

    Resume order: (1) the newest undamaged checkpoint in the run folder, (2) step 0, with the
    weights of `config.start` if it names any. The folder is locked against other processes.

    Args:
        config: resolved and locked.
        workdir: absolute; made if it does not exist.
        verify_films: whether to hash every film again before trusting the cache.
        download: whether published weights to start from may be fetched.

    Raises:
        Stopped: a signal asked for the end; the last step has been saved.
    """
    mesh = make_mesh()
    check_training(config, mesh)
    check_trackers(config)
    network = make_network(config)
    groups_of(config, network.divide(network.abstract_params)[0])  # refuses an unknown stage
    checkpoints = Checkpoints(workdir / "checkpoints")
    source = None
    if not checkpoints.steps("latest"):
        source = weights_to_start_from(config, network, cache_dir, download=download)
    with runtime.leader_first("films"):
        splits = load_splits(config, cache_dir, verify=verify_films)
    setup = Setup(config, workdir, splits, network, mesh, checkpoints)
    if note := check_batch(config, mesh, setup.films_per_epoch):
        say(note)
    with runtime.leader_first("run folder"):
        begin(workdir, config, IN_TRAINING)
    with locked(workdir) if runtime.is_leader() else contextlib.nullcontext():
        with runtime.leader_first("films' fingerprint"):
            write_provenance(workdir, splits, config)
        describe(setup)
        _train(setup, source)


def _train(setup: Setup, weights_source: Source | None) -> None:
    """Restores or begins the state, compiles the step, and takes the steps that are left."""
    config, network, mesh = setup.config, setup.network, setup.mesh
    labels, per_epoch = setup.splits.train.labels, setup.steps_per_epoch
    optimizer = make_optimizer(config, per_epoch)
    state, best = resume_or_begin(setup, optimizer)
    if weights_source:
        state = start_from(weights_source, network, state, setup.workdir)
    if is_fine_tuning(config):
        print_groups(config, state.params, per_epoch)
    first_step = int(state.step)
    epochs = first_step // per_epoch
    if first_step == setup.last_step or stops_early(epochs, best, config):
        say(f"finished: this run has trained {epochs} of {config.epochs} epochs")
        if runtime.is_leader():
            with open_relays(setup.workdir, config) as relays:
                relays.keep("network", network_files(setup.workdir))
        return
    if first_step:
        say(f"resuming after step {first_step} of {setup.last_step}")
    order = BatchOrder(labels, config.batch_size, config.seed, config.data.balanced)
    teachers = open_teachers(config, setup.splits)
    record_teachers(teachers, setup.workdir)
    numbers = run_numbers(config, per_epoch, class_factors(labels, config.loss.class_weights))
    held = Held(teachers=teachers.params, numbers=on_all_devices(numbers, mesh))
    # The stream of films imports TensorFlow in a thread, and both libraries import protobuf.
    setup.checkpoints.prepare()
    source = make_input(setup.splits.train, order, config, mesh, first_step, held)
    train_step = make_train_step(config, network, optimizer, per_epoch, mesh, teachers)
    compiled = CompiledCalls(train_step, state, config, mesh, source, setup.last_step)
    with open_logbook(setup.workdir, first_step, config) as logbook:
        Trainer(setup, source.calls, best, logbook).run(compiled, state, source.batches)
        logbook.keep("network", network_files(setup.workdir))


class Trainer:
    """Takes the steps of a run, validates after each epoch, and saves.

    `best` holds the figures of the best epoch so far, with its "epoch".
    """

    def __init__(self, setup: Setup, calls: Calls, best: Figures | None, logbook: Logbook):
        config = setup.config
        self._setup, self._config = setup, config
        self._calls = calls
        self._best = best
        self._meta = checkpoint_meta(setup)
        forward = partial(make_forward, setup.network, setup.mesh)
        self._score = MeshStep(forward, setup.mesh, program_key(config, "logits"))
        self._logbook = logbook
        self._progress = TrainingProgress(config.epochs, setup.steps_per_epoch, config.batch_size)
        self._clock = StepClock()
        self._monitor = StepMonitor(
            setup.workdir, setup.splits.train, self._logbook, self._progress, config.log.every_steps
        )

    def run(self, call: CompiledCalls, state: TrainState, batches: Iterator[Batch]) -> None:
        """Takes all steps that are left, unless a signal or early stopping ends the run before.

        Signals, saves and the check of the state wait for the end of a call.
        """
        per_epoch, last_step = self._setup.steps_per_epoch, self._setup.last_step
        every = self._config.checkpoint.every_steps
        # An implicit transfer would make every step wait for the host, so the guard turns it into
        # an error. Validation and saving may transfer what they need.
        with StopRequest() as stop, jax.transfer_guard("disallow"):
            for index, steps in enumerate(self._calls.until(last_step)):
                batch = self._clock.next_batch(batches, self._monitor.is_idle, len(steps))
                state, metrics = call(state, batch)
                number = steps.stop  # of the call's last step, counted from 1
                epoch = (number - 1) // per_epoch + 1
                numbers = range(steps.start + 1, number + 1)
                made = DispatchedCall(numbers, epoch, metrics, batch["film"])
                self._monitor.dispatched(made)
                signal_number = stop.reached(index)
                ends_epoch = number % per_epoch == 0
                saves = every > 0 and number // every > steps.start // every
                if not (ends_epoch or signal_number or saves):
                    continue
                with jax.transfer_guard("allow"):
                    self._monitor.wait()
                    self._clock.pause()
                    self._monitor.check(made, state)
                    if ends_epoch:
                        self._end_epoch(number, epoch, state)
                    self._logbook.flush()
                    meta = self._meta | {"epoch": epoch, "best": self._best}
                    self._setup.checkpoints.save_latest(number, state.to_items(), meta)
                # A signal may have arrived during validation or the save.
                if signal_number := signal_number or stop.received:
                    self._stop(signal_number, number)
                if ends_epoch and stops_early(epoch, self._best, self._config):
                    say(
                        f"stopping: {self._config.early_stopping.patience} epochs without a "
                        f"better {self._config.checkpoint.best_metric}"
                    )
                    break
                self._clock.resume()
                self._progress.resume()

    def _end_epoch(self, step: int, epoch: int, state: TrainState) -> None:
        """Validates, writes the figures of the epoch, and saves it if it is the best so far."""
        figures = training_figures(state.epoch_sums) | self._clock.take_figures()
        films = self._setup.splits.validation
        params = evaluation_params(self._setup.network, state)
        if films:
            logits = outputs_of(partial(self._score, params), films, self._config.batch_size)
            figures |= validation_figures(films.labels, logits)
        self._logbook.write(Record("epoch", step, epoch, figures))
        self._progress.epoch(epoch, figures)
        is_best = is_better(figures, self._best, self._config)
        if is_best:
            self._best = figures | {"epoch": epoch}
        if step == self._setup.last_step:
            self._warn_of_guessing(figures)
        if not is_best:
            return
        self._logbook.flush()  # a checkpoint must not be newer than the lines up to its step
        meta = self._meta | {"epoch": epoch, "figures": figures}
        if films:
            decision = fit_decision(self._config.decision, films.labels, logits)
            meta["decision"] = decision._asdict()
        self._setup.checkpoints.save_best(step, params, meta)

    def _warn_of_guessing(self, figures: Figures) -> None:
        labels, weighted = self._setup.splits.train.labels, self._config.loss.class_weights
        note = no_better_than_guessing(
            figures, self._best or figures, guessing_loss(labels, weighted)
        )
        # Mixed films have mixed labels, on which no network can do well.
        if note and not self._config.augment.mixup:
            say(f"note: {note}")

    def _stop(self, signal_number: int, step: int) -> NoReturn:
        if runtime.is_multiprocess():
            # Others may still be writing, and would take this process for lost if it ended first.
            runtime.leave()
        raise Stopped(signal_number, f"saved after step {step:,} of {self._setup.last_step:,}")


def training_figures(sums: EpochSums) -> Figures:
    """Loss and accuracy of an epoch; each film is counted once, with the weights of its step."""
    total = jax.device_get(sums)
    return {
        "train_loss": float(total.loss) / float(total.films),
        "train_accuracy": float(total.correct) / float(total.films),
    }
