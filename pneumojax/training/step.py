"""One training step and one evaluation step, pure functions of state and batch."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec
from ml_collections import ConfigDict

from pneumojax.nn import ops
from pneumojax.training.losses import binary_cross_entropy, network_loss, prediction
from pneumojax.training.state import Network, State

TrainStep = Callable[[State, dict], tuple[State, dict]]
EvaluationStep = Callable[[dict, Array], Array]


def normalise(images: Array) -> Array:
    """uint8 (batch, h, w, 1) -> float32 of the same shape in [0, 1]."""
    return images.astype(jnp.float32) / 255


def microbatch_size(films: int, mesh: Mesh, wanted: int = 0) -> int:
    """How many of a device's `films` go through the network at a time.

    On a CPU four, whose activations fit its caches: a step takes two thirds of the time of the
    whole batch at once and a tenth of its memory (docs/performance.md). On accelerators all.

    Args:
        wanted: where not 0, used instead; a number that does not divide `films` is lowered to
            the largest common divisor.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return math.gcd(films, wanted or (ops.FILMS_IN_CACHE if on_cpu else films))


def make_train_step(
    config: ConfigDict,
    network: Network,
    optimizer: optax.GradientTransformation,
    steps_per_epoch: int,
    mesh: Mesh,
) -> TrainStep:
    """A pure `(state, batch) -> (state, metrics)`.

    The batch is split over the mesh's devices. Each takes its films through the network a few at a
    time and adds up their gradients; then the devices' sums are added. Metrics are scalars of the
    batch: `loss` (what is minimised), `accuracy` at 0.5 and `grad_norm`. The state's `epoch_sums`
    add up over an epoch the predicting head's loss, right calls and films, as Keras does for its
    training curves. Everything random is folded from (config.seed, step, place in the batch).
    """
    key = jax.random.key(config.seed)
    axis = mesh.axis_names[0]

    def loss_fn(params: dict, batch: dict, films: Array) -> tuple[Array, dict[str, Array]]:
        """A part's share in the batch's mean loss, and its sums over films."""
        labels, mask = batch["label"], batch["mask"]
        logits = network.logits(params, normalise(batch["image"]), batch["dropout_key"])
        losses = network_loss(logits, labels, config.loss.auxiliary_weight)
        called = prediction(logits)
        sums = {
            "loss": jnp.sum(binary_cross_entropy(called, labels) * mask),
            "correct": jnp.sum(((called >= 0) == (labels == 1)) * mask),
        }
        return jnp.sum(losses * mask) / films, sums

    def summed(params: dict, batch: dict, films: Array) -> tuple[tuple[Array, dict], dict]:
        """((loss, sums), gradients) of the whole batch, from one device's part of it."""
        value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
        here = len(batch["label"])
        at_once = microbatch_size(here, mesh, config.microbatch_size)
        if at_once == here:
            return lax.psum(value_and_grad(params, batch, films), axis)
        parts = jax.tree.map(lambda a: a.reshape(-1, at_once, *a.shape[1:]), batch)
        first = jax.eval_shape(value_and_grad, params, jax.tree.map(lambda a: a[0], parts), films)
        total, _ = lax.scan(
            lambda total, part: (
                jax.tree.map(jnp.add, total, value_and_grad(params, part, films)),
                None,
            ),
            jax.tree.map(jnp.zeros_like, first),
            parts,
        )
        return lax.psum(total, axis)

    over_devices = jax.shard_map(
        summed,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(axis), PartitionSpec()),
        out_specs=PartitionSpec(),
        check_vma=False,  # the sums above say what is the same everywhere
    )

    def train_step(state: State, batch: dict) -> tuple[State, dict]:
        step, params = state["step"], state["params"]
        films = jnp.sum(batch["mask"])
        keys = jax.random.split(jax.random.fold_in(key, step), len(batch["label"]))
        (loss, sums), grads = over_devices(params, batch | {"dropout_key": keys}, films)
        updates, optimizer_state = optimizer.update(grads, state["optimizer"], params)

        sums["films"] = films
        begins_epoch = step % steps_per_epoch == 0
        new_state = {
            "step": step + 1,
            "params": optax.apply_updates(params, updates),
            "optimizer": optimizer_state,
            "epoch_sums": {
                name: (jnp.where(begins_epoch, 0, state["epoch_sums"][name]) + value).astype(
                    state["epoch_sums"][name].dtype
                )
                for name, value in sums.items()
            },
        }
        metrics = {
            "loss": loss,
            "accuracy": sums["correct"] / films,
            "grad_norm": optax.tree.norm(grads),
        }
        return new_state, metrics

    return train_step


def make_evaluation_step(network: Network, mesh: Mesh) -> EvaluationStep:
    """A pure `(params, uint8 images (batch, h, w, 1)) -> logits (batch,)`, deterministic."""
    axis = mesh.axis_names[0]

    def logits_of(params: dict, images: Array) -> Array:
        return prediction(network.logits(params, normalise(images)))

    def evaluation_step(params: dict, images: Array) -> Array:
        at_once = microbatch_size(len(images), mesh)
        if at_once == len(images):
            return logits_of(params, images)
        parts = images.reshape(-1, at_once, *images.shape[1:])
        return lax.map(lambda part: logits_of(params, part), parts).reshape(-1)

    return jax.shard_map(
        evaluation_step,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(axis)),
        out_specs=PartitionSpec(axis),
        check_vma=False,
    )
