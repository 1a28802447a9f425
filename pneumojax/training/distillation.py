"""Distillation: trained networks, the teachers, give soft targets for the films of each step.

Hinton et al. 2015 (arXiv 1503.02531) train a small network on the probabilities of larger ones.
The teachers see each film as the student does, after the same augmentation, which teaches more than
targets that are computed once (Beyer et al. 2022, arXiv 2106.05237).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import Array, lax
from ml_collections import ConfigDict

from pneumojax import runtime
from pneumojax.data.splits import Splits
from pneumojax.errors import UserError
from pneumojax.fields import Field, is_text, read_record
from pneumojax.files import write_json
from pneumojax.inference.network import Network
from pneumojax.inference.trained_run import TrainedRun, open_run
from pneumojax.run.film_list import SeenFilms, hidden
from pneumojax.terminal import say

RECORD = "teachers.json"  # in the run folder: the digest of each teacher's parameters by its folder


@dataclass(frozen=True)
class Teachers:
    """Trained networks, whose parameters are passed to the step as an argument of their own.

    As constants of the step, the parameters would be compiled into the program.
    """

    networks: tuple[Network, ...] = ()
    sizes: tuple[int, ...] = ()  # pixels of the films that each network was trained on
    params: tuple[dict, ...] = ()  # on every device
    weight: float = 1.0
    temperature: float = 1.0
    digests: Mapping[str, str] = field(default_factory=dict)  # of the parameters, by run folder

    def targets(self, params: Sequence[dict], batch: dict, at_once: int) -> dict:
        """The batch with its targets (n,) moved towards the teachers' mean probability.

        The images (n, h, w, 1) are augmented, and teachers see `at_once` films at a time.
        """
        if not self.networks:
            return batch
        images = batch["image"]

        def probability(images: Array) -> Array:
            of_each = [
                jax.nn.sigmoid(network.evaluation_logits(values, resized(images, size)) / t)
                for network, size, values in zip(self.networks, self.sizes, params, strict=True)
            ]
            return jnp.mean(jnp.stack(of_each), axis=0)

        t = self.temperature
        parts = images.reshape(-1, at_once, *images.shape[1:])
        soft = lax.map(probability, parts).reshape(-1)
        return batch | {"target": self.weight * soft + (1 - self.weight) * batch["target"]}


NO_TEACHERS = Teachers()


def resized(images: Array, size: int) -> Array:
    """Images (n, h, w, 1) at the side that a teacher was trained on, interpolated linearly."""
    if images.shape[1] == size:
        return images
    return jax.image.resize(images, (len(images), size, size, images.shape[3]), "linear")


def open_teachers(config: ConfigDict, splits: Splits) -> Teachers:
    """Opens the run folders that `config.distill.teachers` names.

    Raises:
        UserError: a folder cannot be opened, or a teacher was trained for other classes or on a
            patient who is held out here.
    """
    settings = config.distill
    if not settings.teachers:
        return Teachers()
    folders = [_of_fold(Path(folder), config) for folder in settings.teachers]
    runs = [_open(folder, splits) for folder in folders]
    say(f"teachers: {len(runs)}, whose share of the target is {settings.weight:g}")
    return Teachers(
        networks=tuple(run.network for run in runs),
        sizes=tuple(run.config.augment.size or run.config.data.image_size for run in runs),
        params=tuple(run.params for run in runs),
        weight=settings.weight,
        temperature=settings.temperature,
        digests={
            str(folder): run.meta["digests"]["params"]
            for folder, run in zip(folders, runs, strict=True)
        },
    )


def record_teachers(teachers: Teachers, workdir: Path) -> None:
    """Writes the digests of the teachers, or compares them with those that the run began with.

    Raises:
        UserError: a teacher has changed since.
    """
    path = workdir / RECORD
    if not path.exists():
        if teachers.digests and runtime.is_leader():
            write_json(path, dict(teachers.digests))
        return
    before = read_record(path, [Field((name,), is_text, "text") for name in teachers.digests])
    if changed := [name for name, value in teachers.digests.items() if before[name] != value]:
        raise UserError(
            f"config.distill.teachers: {changed[0]!r} has changed since {str(workdir)!r} began; "
            "restore it, or name another run folder"
        )


def _of_fold(folder: Path, config: ConfigDict) -> Path:
    """The run folder of a teacher; of a cross-validation that with this run's fold."""
    fold = folder / f"fold-{config.data.fold}"
    return fold if config.data.folds and fold.is_dir() else folder


def _open(folder: Path, splits: Splits) -> TrainedRun:
    run = open_run(folder)
    if tuple(run.class_names) != tuple(splits.train.naming.classes.names):
        raise UserError(
            f"config.distill.teachers: {str(folder)!r} tells {' from '.join(run.class_names)}, "
            f"and this run {' from '.join(splits.train.naming.classes.names)}"
        )
    if seen := _seen(folder, splits):
        raise UserError(
            f"config.distill.teachers: {str(folder)!r} was trained on {seen:,} of the "
            f"{len(splits.validation or ()):,} validation films or their patients, so validation "
            "would make this run look too good; use a teacher with the same hold-out"
        )
    return run


def _seen(folder: Path, splits: Splits) -> int:
    """The number of validation films that a run was trained on, or on films of their patients."""
    if splits.validation is None:
        return 0
    seen = SeenFilms.of_runs([folder])
    if not seen.known:
        raise UserError(
            f"config.distill.teachers: {str(folder)!r} has no films.csv, so it cannot be told "
            "whether it was trained on the films that are held out here"
        )
    return sum(
        digest.lower() in seen.digests or (who.known and hidden(who.patient) in seen.patients)
        for digest, who in zip(splits.validation.digests, splits.validation.identities, strict=True)
    )
