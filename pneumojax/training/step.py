"""One training step and one evaluation step, pure functions of state and batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

from pneumojax.training.losses import binary_cross_entropy, network_loss, prediction
from pneumojax.training.state import Network, State

TrainStep = Callable[[State, dict], tuple[State, dict]]
EvaluationStep = Callable[[dict, Array], Array]


def normalise(images: Array) -> Array:
    """uint8 (batch, h, w, 1) -> float32 of the same shape in [0, 1]."""
    return images.astype(jnp.float32) / 255


def make_train_step(
    config: ConfigDict,
    network: Network,
    optimizer: optax.GradientTransformation,
    steps_per_epoch: int,
) -> TrainStep:
    """A pure `(state, batch) -> (state, metrics)`.

    Everything random is folded from (config.seed, step). Metrics are scalars of the batch: `loss`
    (what is minimised), `accuracy` at 0.5 and `grad_norm`. The state's `epoch_sums` add up over an
    epoch the predicting head's loss, right calls and films, as Keras does for its training curves.
    """
    key = jax.random.key(config.seed)

    def train_step(state: State, batch: dict) -> tuple[State, dict]:
        step, labels, mask = state["step"], batch["label"], batch["mask"]
        images = normalise(batch["image"])
        dropout_key = jax.random.fold_in(key, step)

        def loss_fn(params: dict) -> tuple[Array, Array]:
            logits = network.logits_for_training(params, images, dropout_key)
            loss = network_loss(logits, labels, mask, config.loss.auxiliary_weight)
            return loss, prediction(logits)

        (loss, logits), grads = jax.value_and_grad(loss_fn, has_aux=True)(state["params"])
        updates, optimizer_state = optimizer.update(grads, state["optimizer"], state["params"])

        films = jnp.sum(mask)
        correct = jnp.sum(((logits >= 0) == (labels == 1)) * mask)
        head_loss = binary_cross_entropy(logits, labels, mask)
        sums = {"loss": head_loss * films, "correct": correct, "films": films}
        begins_epoch = step % steps_per_epoch == 0
        new_state = {
            "step": step + 1,
            "params": optax.apply_updates(state["params"], updates),
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
            "accuracy": correct / films,
            "grad_norm": optax.tree.norm(grads),
        }
        return new_state, metrics

    return train_step


def make_evaluation_step(network: Network) -> EvaluationStep:
    """A pure `(params, uint8 images (batch, h, w, 1)) -> logits (batch,)`, deterministic."""

    def evaluation_step(params: dict, images: Array) -> Array:
        return prediction(network.logits(params, normalise(images)))

    return evaluation_step
