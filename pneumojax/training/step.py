"""One training step, a pure function of state and batch: augment, loss, gradients, update."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec
from ml_collections import ConfigDict

from pneumojax.augment.augment import Augment, film_keys, make_augment, mixup
from pneumojax.inference.forward import microbatch_size, to_unit_range
from pneumojax.inference.network import Network
from pneumojax.training.distillation import NO_TEACHERS, Teachers
from pneumojax.training.losses import BatchSums, Objective
from pneumojax.training.recipe import recipe_of
from pneumojax.training.state import EpochSums, TrainState, updated_statistics


@dataclass(frozen=True, eq=False)
class TrainStep:
    """A pure `(state, batch, teacher_params=(), numbers=...) -> (state, metrics)`; jit it.

    recipe: what decides its traced program beside `numbers`; None if it must always be traced.
    """

    function: Callable[..., tuple[TrainState, dict]]
    recipe: list[Any] | None

    def __call__(self, *arguments: Any) -> tuple[TrainState, dict]:
        return self.function(*arguments)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RunNumbers:
    """Numbers in which runs of one recipe differ, given to a compiled step so that runs share it.

    The learning rate's schedule still counts in epochs of `steps_per_epoch` steps, so a step with
    a schedule fits only runs of the same length.
    """

    seed: Any  # uint32 ()
    steps_per_epoch: Any  # int32 ()
    class_weights: Any  # float32 (2,), factors of a film's loss, normal films first


class StepNumbers(NamedTuple):
    """The numbers of one step."""

    film_count: Array  # without padding
    epoch: Array
    run: RunNumbers


def make_train_step(
    config: ConfigDict,
    network: Network,
    optimizer: optax.GradientTransformation,
    steps_per_epoch: int,
    mesh: Mesh,
    teachers: Teachers = NO_TEACHERS,
) -> TrainStep:
    """The train step of a config.

    A batch holds `image` uint8 (n, h, w, 1), `label` int32 (n,), `mask` float32 (n,), 0 for
    padding, and `film` int32 (n,), the films' rows in the training set. Metrics are scalars of the
    batch: `loss` (the minimised one), `accuracy` at 0.5 and `grad_norm`.

    Augmentation draws from (seed, epoch, film), and dropout from (seed, step, position in the
    batch). Without `numbers`, those of the config and the other arguments are compiled in.
    """
    own = run_numbers(config, steps_per_epoch)
    gradients_of = make_gradients(config, network, mesh, teachers)

    def train_step(
        state: TrainState,
        batch: dict,
        teacher_params: tuple[dict, ...] = (),
        numbers: RunNumbers = own,
    ) -> tuple[TrainState, dict]:
        film_count = jnp.sum(batch["mask"])
        key = jax.random.key(numbers.seed)
        batch = add_random_inputs(batch, key, state.step, mixup=bool(config.augment.mixup))
        (loss, sums), gradients = gradients_of(
            state.params,
            state.statistics,
            teacher_params,
            batch,
            StepNumbers(film_count, state.step // numbers.steps_per_epoch, numbers),
        )
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        begins_epoch, next_step = state.step % numbers.steps_per_epoch == 0, state.step + 1
        epoch_sums = add_to_epoch(state.epoch_sums, sums, film_count, begins_epoch)
        statistics = state.statistics
        if statistics and not network.freeze_statistics:
            statistics = updated_statistics(statistics, sums.moments)
        average = state.average
        if average is not None:
            latest = network.join(params, statistics)
            average = moving_average(average, latest, config.average.decay, state.step)
        metrics = {
            "loss": loss,
            "accuracy": sums.correct / film_count,
            "grad_norm": jnp.linalg.norm(ravel_pytree(gradients)[0]),
        }
        new_state = TrainState(next_step, params, optimizer_state, epoch_sums, statistics, average)
        return new_state, metrics

    return TrainStep(train_step, recipe_of(config, steps_per_epoch))


def run_numbers(
    config: ConfigDict, steps_per_epoch: int, class_weights: tuple[float, float] = (1.0, 1.0)
) -> RunNumbers:
    """A run's numbers, on the host."""
    seed = np.uint32(config.seed % 2**32)  # the part that a key is made of
    return RunNumbers(seed, np.int32(steps_per_epoch), np.asarray(class_weights, np.float32))


def add_random_inputs(batch: dict, key: Array, step: Array, *, mixup: bool) -> dict:
    """The batch with a "dropout_key" for each film and, for mixup, each film's "partner".

    This happens before the batch is split over the devices, so that results do not depend on their
    number.
    """
    keys = jax.random.split(jax.random.fold_in(key, step), len(batch["label"]))
    extended = batch | {"dropout_key": keys}
    if mixup:
        half = len(keys) // 2
        extended["partner"] = {
            name: jnp.roll(batch[name], half, axis=0) for name in ("image", "label", "film")
        }
    return extended


def augment_batch(
    batch: dict, epoch: Array, seed: Array | int, augment: Augment, config: ConfigDict
) -> dict:
    """The batch with augmented images in [0, 1], and with their labels as "target".

    With mixup, images and targets are mixed with those of the partners, which are dropped.
    """

    def augmented(films: dict, keys: Array) -> Array:
        return augment(to_unit_range(films["image"], config.model.dtype), keys)

    keys = film_keys(seed, epoch, batch["film"])
    shown = batch | {"image": augmented(batch, keys), "target": batch["label"]}
    if alpha := config.augment.mixup:
        partner = shown.pop("partner")
        partner_keys = film_keys(seed, epoch, partner["film"])
        partner_images = augmented(partner, partner_keys)
        shown["image"], shown["target"] = mixup(
            shown["image"], batch["label"], partner_images, partner["label"], keys, alpha
        )
    return shown


def make_gradients(
    config: ConfigDict, network: Network, mesh: Mesh, teachers: Teachers
) -> Callable[..., tuple[tuple[Array, BatchSums], dict]]:
    """The gradients of a batch, as a function that is given the parameters and the batch.

    It is `(params, statistics, teacher_params, batch, numbers) -> ((loss, sums), gradients)`, where
    `teacher_params` holds the parameters of each teacher.

    The batch is split over the devices. Each one augments its films and adds up the gradients of
    its microbatches; then the devices' sums are added.

    Batch norm takes its means and variances over a microbatch, on all devices together or, if
    `config.statistics_over` is "device", on each one alone. The microbatch is then the whole batch,
    unless `config.microbatch_size` asks for a smaller one (ghost batch norm: Hoffer et al. 2017,
    arXiv 1705.08741).
    """
    axis = mesh.axis_names[0]
    # A single device would pay for collective operations that exchange nothing.
    shared = config.statistics_over == "devices" and mesh.size > 1
    objective = Objective(network, config.loss, axis if shared else None)
    augment = make_augment(config.augment, config.data.image_size)
    wanted = config.microbatch_size or (config.batch_size if network.statistics else 0)

    def on_device(
        params: dict,
        statistics: dict,
        teacher_params: tuple[dict, ...],
        batch: dict,
        numbers: StepNumbers,
    ) -> tuple[tuple[Array, BatchSums], dict]:
        here = len(batch["label"])
        at_once = microbatch_size(here, mesh, wanted)
        batch = augment_batch(batch, numbers.epoch, numbers.run.seed, augment, config)
        batch = teachers.targets(teacher_params, batch, microbatch_size(here, mesh))
        weights, film_count = numbers.run.class_weights, numbers.film_count
        batch["weight"] = jnp.where(batch["label"] == 1, weights[1], weights[0])
        total = sum_over_microbatches(objective, params, statistics, batch, film_count, at_once)
        (loss, sums), gradients = lax.psum(total, axis) if mesh.size > 1 else total
        count = here // at_once * mesh.size
        moments = jax.tree.map(lambda total: total / count, sums.moments)
        return (loss, sums._replace(moments=moments)), gradients

    everywhere = PartitionSpec()
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(everywhere, everywhere, everywhere, PartitionSpec(axis), everywhere),
        out_specs=everywhere,
        check_vma=False,  # psum makes the results equal on all devices
    )


def sum_over_microbatches(
    objective: Objective, params: dict, statistics: dict, batch: dict, film_count: Array, size: int
) -> tuple[tuple[Array, BatchSums], dict]:
    """((loss, sums), gradients) of a device's films, added up over microbatches of `size` films."""
    value_and_grad = jax.value_and_grad(objective, has_aux=True)
    if size == len(batch["label"]):
        return value_and_grad(params, statistics, batch, film_count)
    parts = jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), batch)
    first = jax.tree.map(lambda a: a[0], parts)
    shapes = jax.eval_shape(value_and_grad, params, statistics, first, film_count)
    zeros, divided = ravel_pytree(jax.tree.map(jnp.zeros_like, shapes))

    def add(total: Array, part: dict) -> tuple[Array, None]:
        terms, _ = ravel_pytree(value_and_grad(params, statistics, part, film_count))
        return total + lax.optimization_barrier(terms), None

    # The totals are one vector, because XLA would compile hundreds of sums one by one.
    return divided(lax.scan(add, zeros, parts)[0])


def add_to_epoch(before: EpochSums, sums: BatchSums, film_count: Array, begins: Array) -> EpochSums:
    """The sums of the epoch after a step; the first step of an epoch begins them anew.

    They are of the predicting head alone, averaged while its weights change, as in the training
    curves of Keras.
    """

    def added(total: Array, value: Array) -> Array:
        return (jnp.where(begins, 0, total) + value).astype(total.dtype)

    return EpochSums(
        correct=added(before.correct, sums.correct),
        loss=added(before.loss, sums.loss),
        films=added(before.films, film_count),
    )


def moving_average(average: dict, latest: dict, decay: float, step: Array) -> dict:
    """The average moved towards `latest` by `1 - decay`, and by more in the first steps.

    A constant decay would keep the initial weights in the average for too long.
    """
    young = jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(latest, average, 1 - young)
