"""The constant parts of a run, their checks, its first state, and the lines that describe it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.config.check import check, wrong_value
from pneumojax.data.classes import ClassNames
from pneumojax.data.out_of_distribution import fit_distribution
from pneumojax.data.patients import contradiction_warning
from pneumojax.data.pipeline import films_per_epoch, steps_per_epoch
from pneumojax.data.splits import Splits, preprocessing_of
from pneumojax.errors import UserError
from pneumojax.files import printable
from pneumojax.inference.decision import undecided
from pneumojax.inference.network import Network, make_network
from pneumojax.run.agreement import check_config, check_meta
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.provenance import versions
from pneumojax.run.stored_config import is_synthetic
from pneumojax.sharding import placed, replicated
from pneumojax.stats.estimates import FEW
from pneumojax.stats.metrics import Ints
from pneumojax.terminal import say
from pneumojax.traced import store_for
from pneumojax.training.recipe import recipe_of
from pneumojax.training.selection import Figures
from pneumojax.training.state import TrainState, abstract_state, initial_state
from pneumojax.training.step import run_numbers


@dataclass(frozen=True)
class Setup:
    """The parts of a run that stay the same from its first step to its last."""

    config: ConfigDict
    workdir: Path
    splits: Splits
    network: Network
    mesh: Mesh
    checkpoints: Checkpoints

    @property
    def class_names(self) -> ClassNames:
        return self.splits.train.naming.classes.names

    @property
    def films_per_epoch(self) -> int:
        return films_per_epoch(self.splits.train.labels, self.config.data.balanced)

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.films_per_epoch, self.config.batch_size)

    @property
    def last_step(self) -> int:
        return self.config.epochs * self.steps_per_epoch


def check_training(config: ConfigDict, mesh: Mesh) -> None:
    """Raises UserError for a field with a wrong value.

    The devices must be able to share a batch, and the films that augmentation makes must be large
    enough for the network.
    """
    check(config)
    if config.batch_size % mesh.size:
        rule = f"it must be a multiple of the {mesh.size} devices that share it"
        raise UserError(wrong_value("batch_size", config.batch_size, rule))
    if config.augment.size:
        augmented = ConfigDict(config.to_dict())
        augmented.data.image_size = config.augment.size
        try:
            make_network(augmented)
        except UserError as error:
            message = str(error).replace("config.data.image_size", "config.augment.size")
            raise UserError(message) from error


def check_batch(config: ConfigDict, mesh: Mesh, films: int) -> str:
    """A note to print if a batch is larger than the films of an epoch, otherwise "".

    Such a batch is filled up with copies that count for nothing, so a step takes longer and learns
    no more. A batch size of at least twice the films is refused rather than lowered, because a
    smaller batch would be another recipe.
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


def few_validation_films(labels: Ints, class_names: ClassNames) -> str:
    """A note to print if validation has fewer than `FEW` films of a class, otherwise ""."""
    counts = zip(np.bincount(labels, minlength=2).tolist(), class_names, strict=True)
    few = [f"{count:,} films of {name}" for count, name in counts if count < FEW]
    if not few:
        return ""
    return (
        f"note: validation has only {' and '.join(few)}, and fewer than {FEW} support no "
        "conclusion. The best epoch and the threshold are chosen on them; use more films or a "
        "larger config.data.val_fraction"
    )


def resume_or_begin(
    setup: Setup, optimizer: optax.GradientTransformation
) -> tuple[TrainState, Figures | None]:
    """The newest saved state and the figures of the best epoch so far, or step 0 and None."""
    config, checkpoints = setup.config, setup.checkpoints
    abstract = placed(abstract_state(config, setup.network, optimizer), setup.mesh)
    restored = checkpoints.restore_latest(abstract.to_items())
    if restored is None:
        return begin_state(config, optimizer, abstract, setup.mesh), None
    items, meta = restored
    check_meta(meta, checkpoints.workdir)
    check_config(meta, config, checkpoints.workdir)
    if "best" not in meta:
        raise UserError(
            f"the checkpoint in {str(checkpoints.workdir)!r} cannot be used: its "
            "metadata's best is absent, so that a worse one could replace the best",
            flag="workdir",
        )
    return TrainState.from_items(items), meta["best"]


def begin_state(
    config: ConfigDict, optimizer: optax.GradientTransformation, abstract: TrainState, mesh: Mesh
) -> TrainState:
    """The state before step 0, on all devices; `abstract` holds its shapes.

    The program is compiled for any seed.
    """

    def make() -> Callable[[Array], list[Array]]:
        return lambda seed: jax.tree.leaves(initial_state(config, optimizer, seed))

    seed, tree = run_numbers(config, 1).seed, jax.tree.structure(abstract)
    recipe, store = recipe_of(config, 1), store_for(mesh)
    if store is None or recipe is None:
        program = make()
    else:
        program = store.program(["initial state", *recipe, str(tree)], make, seed)
    return jax.tree.unflatten(tree, jax.jit(program, out_shardings=replicated(mesh))(seed))


def checkpoint_meta(setup: Setup) -> dict[str, Any]:
    """The metadata that all checkpoints of a run have in common, as JSON values."""
    return {
        "config": setup.config.to_dict(),
        "preprocessing": preprocessing_of(setup.config).as_dict(),
        "class_names": list(setup.class_names),
        "films": setup.splits.fingerprint,
        "synthetic": is_synthetic(setup.config),
        "decision": undecided("no validation film")._asdict(),  # replaced once one is fitted
        "scope": fit_distribution(setup.splits.train),
        "versions": versions(),
    }


def describe(setup: Setup) -> None:
    """Prints what is about to be trained, on which films and devices."""
    splits, mesh = setup.splits, setup.mesh
    share = float(np.mean(splits.train.labels))
    stamp = "  [synthetic films]" if is_synthetic(setup.config) else ""
    say(f"run: {printable(str(setup.workdir))}{stamp}")
    say(f"devices: {mesh.size} x {mesh.devices.flat[0].device_kind}")
    say(
        f"films: {len(splits.train):,} to train on, {share:.1%} "
        f"{setup.class_names.words.positive}; "
        f"{len(splits.rejected)} unreadable left out, {splits.train.ignored} other files ignored"
    )
    contradictions = splits.train.contradictions
    if warning := contradiction_warning(contradictions, len(splits.train)):
        say(warning)
    say(splits.audit.line())
    if splits.validation is None:
        return
    if note := few_validation_films(splits.validation.labels, setup.class_names.words):
        say(note)
