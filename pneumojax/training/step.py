"""One training step, a pure function of state and batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec
from ml_collections import ConfigDict

from pneumojax.augment.augment import film_keys, make_augment, mixed
from pneumojax.inference.forward import microbatch_size, to_unit_range
from pneumojax.inference.network import Network, main_logits
from pneumojax.training.losses import binary_cross_entropy, network_loss
from pneumojax.training.running_statistics import moved, squared
from pneumojax.training.state import State

TrainStep = Callable[[State, dict], tuple[State, dict]]


def make_train_step(
    config: ConfigDict,
    network: Network,
    optimizer: optax.GradientTransformation,
    steps_per_epoch: int,
    mesh: Mesh,
    class_weights: tuple[float, float] = (1.0, 1.0),
) -> TrainStep:
    """A pure `(state, batch) -> (state, metrics)`.

    The batch is split over the mesh's devices. Each takes its films through the network a few at a
    time and adds up their gradients; then the devices' sums are added. Metrics are scalars of the
    batch: `loss` (what is minimised), `accuracy` at 0.5 and `grad_norm`. The state's `epoch_sums`
    add up over an epoch the predicting head's loss, right calls and films, as Keras does for its
    training curves. Films are augmented here, each by a key of (config.seed, epoch, film); what is
    dropped is folded from (config.seed, step, place in the batch).

    Batch norm takes its means and variances over the films that go through the network at a time,
    on all devices, or on each by itself where `config.statistics_over` is "device": over the whole
    batch, unless `config.microbatch_size` asks for fewer (ghost batches: Hoffer et al. 2017, arXiv
    1705.08741). The running ones, that evaluation uses, move towards the whole batch's by
    `1 - statistics.DECAY` of the way each step.

    Args:
        class_weights: what the loss of a film is multiplied by, NORMAL first.
    """
    key = jax.random.key(config.seed)
    axis = mesh.axis_names[0]
    # One device by itself would pay for exchanges that exchange nothing.
    shared = axis if config.statistics_over == "devices" and mesh.size > 1 else None
    augment = make_augment(config.augment, config.data.image_size)
    alpha = config.augment.mixup
    # Fewer films at a time would be other means and variances.
    wanted = config.microbatch_size or (config.batch_size if network.statistics else 0)

    def as_shown(batch: dict, epoch: Array) -> dict:
        """The batch with the films as the network is to see them, and "target", their labels."""
        keys = film_keys(config.seed, epoch, batch["film"])
        shown = batch | {
            "image": augment(to_unit_range(batch["image"], config.model.dtype), keys),
            "target": batch["label"],
        }
        if alpha:
            partner = batch["partner"]
            partner_keys = film_keys(config.seed, epoch, partner["film"])
            shown["image"], shown["target"] = mixed(
                shown["image"],
                batch["label"],
                augment(to_unit_range(partner["image"], config.model.dtype), partner_keys),
                partner["label"],
                keys,
                alpha,
            )
            del shown["partner"]
        return shown

    def loss_fn(
        params: dict, statistics: dict, batch: dict, films: Array
    ) -> tuple[Array, tuple[dict[str, Array], dict]]:
        """A part's share in the batch's mean loss; its sums over films, its means and squares."""
        labels, mask = batch["label"], batch["mask"]
        logits, moments = network.training_logits(
            params, statistics, batch["image"], batch["dropout_key"], shared
        )
        losses = network_loss(logits, batch["target"], config.loss)
        losses *= jnp.where(labels == 1, class_weights[1], class_weights[0])
        called = main_logits(logits)
        sums = {
            "loss": jnp.sum(binary_cross_entropy(called, labels) * mask),
            "correct": jnp.sum(((called >= 0) == (labels == 1)) * mask),
        }
        return jnp.sum(losses * mask) / films, (sums, squared(moments))

    def summed(
        params: dict, statistics: dict, batch: dict, films: Array, epoch: Array
    ) -> tuple[tuple[Array, tuple[dict, dict]], dict]:
        """((loss, (sums, moments)), gradients) of the whole batch, from one device's part of it."""
        value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
        here = len(batch["label"])
        at_once = microbatch_size(here, mesh, wanted)
        batch = as_shown(batch, epoch)
        parts = jax.tree.map(lambda a: a.reshape(-1, at_once, *a.shape[1:]), batch)
        if at_once == here:
            total = value_and_grad(params, statistics, batch, films)
        else:
            first = jax.eval_shape(
                value_and_grad, params, statistics, jax.tree.map(lambda a: a[0], parts), films
            )
            total, _ = lax.scan(
                lambda total, part: (
                    jax.tree.map(jnp.add, total, value_and_grad(params, statistics, part, films)),
                    None,
                ),
                jax.tree.map(jnp.zeros_like, first),
                parts,
            )
        (loss, (sums, moments)), grads = lax.psum(total, axis) if mesh.size > 1 else total
        moments = jax.tree.map(lambda total: total / (here // at_once * mesh.size), moments)
        return (loss, (sums, moments)), grads

    over_devices = jax.shard_map(
        summed,
        mesh=mesh,
        in_specs=(
            PartitionSpec(),
            PartitionSpec(),
            PartitionSpec(axis),
            PartitionSpec(),
            PartitionSpec(),
        ),
        out_specs=PartitionSpec(),
        check_vma=False,  # the sums above say what is the same everywhere
    )

    def train_step(state: State, batch: dict) -> tuple[State, dict]:
        step, params = state["step"], state["params"]
        statistics = state.get("statistics", {})
        films = jnp.sum(batch["mask"])
        keys = jax.random.split(jax.random.fold_in(key, step), len(batch["label"]))
        given = batch | {"dropout_key": keys}
        if alpha:
            half = len(keys) // 2
            given["partner"] = {
                name: jnp.roll(batch[name], half, axis=0) for name in ("image", "label", "film")
            }
        (loss, (sums, moments)), grads = over_devices(
            params, statistics, given, films, step // steps_per_epoch
        )
        updates, optimizer_state = optimizer.update(grads, state["optimizer"], params)
        params = optax.apply_updates(params, updates)

        sums["films"] = films
        begins_epoch = step % steps_per_epoch == 0
        new_state = {
            "step": step + 1,
            "params": params,
            "optimizer": optimizer_state,
            "epoch_sums": {
                name: (jnp.where(begins_epoch, 0, state["epoch_sums"][name]) + value).astype(
                    state["epoch_sums"][name].dtype
                )
                for name, value in sums.items()
            },
        }
        if statistics and not network.freeze_statistics:
            statistics = moved(statistics, moments)
        if statistics:
            new_state["statistics"] = statistics
        if "average" in state:
            # Young averages forget the initial weights sooner.
            decay = jnp.minimum(config.average.decay, (1 + step) / (10 + step))
            new_state["average"] = optax.incremental_update(
                network.join(params, statistics), state["average"], 1 - decay
            )
        metrics = {
            "loss": loss,
            "accuracy": sums["correct"] / films,
            "grad_norm": jnp.linalg.norm(ravel_pytree(grads)[0]),
        }
        return new_state, metrics

    return train_step
