"""The optimizer that a config describes."""

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree
from ml_collections import ConfigDict

from pneumojax.training.parameter_groups import groups_of, is_fine_tuning


def make_optimizer(config: ConfigDict, steps_per_epoch: int) -> optax.GradientTransformation:
    """Adam, or with weight decay AdamW, behind a bound on the gradient's length if one is set.

    Adam is Kingma & Ba 2015 (arXiv 1412.6980) with epsilon after the bias correction. Keras adds
    its epsilon before the correction: in Optax's terms epsilon / sqrt(1 - b2^t), 32 times larger
    at the first step and the same later on. It matters where gradients are near it.

    AdamW is Loshchilov & Hutter 2019 (arXiv 1711.05101): the decay is that share of a weight times
    the learning rate, apart from the gradient, and of kernels alone.

    Args:
        steps_per_epoch: what the schedule counts in; unused where the rate is constant.
    """
    rate = learning_rate(config, steps_per_epoch)
    optimizer = _adam(config, rate)
    if is_fine_tuning(config):
        optimizer = _fine_tuning(config, rate, steps_per_epoch)
    if longest := config.optimizer.clip_norm:
        return optax.chain(optax.clip_by_global_norm(longest), optimizer)
    return optimizer


def _adam(config: ConfigDict, rate: float | optax.Schedule) -> optax.GradientTransformation:
    adam = {
        "b1": config.optimizer.b1,
        "b2": config.optimizer.b2,
        "eps": config.optimizer.epsilon,
    }
    if decay := config.optimizer.weight_decay:
        return optax.chain(
            _flat(optax.scale_by_adam(**adam)),
            optax.add_decayed_weights(decay, mask=_is_kernel),
            optax.scale_by_learning_rate(rate),
        )
    return _flat(optax.adam(rate, **adam))


def _flat(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """`inner` on all parameters as one vector.

    Apart they would be hundreds of operations, most of them of a few biases: a tenth of what JAX
    traces and XLA reads back at a start from the compilation cache. `optax.flatten` but for groups
    without parameters, which it cannot take.
    """

    def init(params: dict) -> optax.OptState:
        return inner.init(ravel_pytree(params)[0])

    def update(
        gradients: dict, state: optax.OptState, params: dict | None = None
    ) -> tuple[dict, optax.OptState]:
        vector, apart = ravel_pytree(gradients)
        updates, state = inner.update(vector, state)
        return apart(updates), state

    return optax.GradientTransformation(init, update)


def _fine_tuning(
    config: ConfigDict, rate: float | optax.Schedule, steps_per_epoch: int
) -> optax.GradientTransformation:
    """An optimizer for each group of `groups_of`; the backbone's begins when it is unfrozen."""
    frozen_steps = config.finetune.frozen_epochs * steps_per_epoch
    factor = config.finetune.backbone_rate

    def backbone_rate(count: Array) -> Array:
        """Of the step of the run; the count is of the backbone's own steps."""
        now = rate(count + frozen_steps) if callable(rate) else rate
        return factor * jnp.asarray(now)

    backbone = optax.conditionally_mask(
        _adam(config, backbone_rate), lambda step: step >= frozen_steps
    )
    parts = {
        "heads": _adam(config, rate),
        "backbone": backbone,
        "frozen": optax.set_to_zero(),
    }
    return optax.partition(parts, lambda params: groups_of(config, params))


def learning_rate(config: ConfigDict, steps_per_epoch: int) -> float | optax.Schedule:
    """The rate, or the function from step to rate.

    "cosine" rises in a line over `warmup_epochs` and falls along half a cosine to 0 at the last
    step (Loshchilov & Hutter 2017, arXiv 1608.03983); "constant" may rise likewise.
    """
    rate = config.optimizer.learning_rate
    warmup = round(config.optimizer.warmup_epochs * steps_per_epoch)
    first = rate / (warmup + 1)
    if config.optimizer.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(
            first, rate, warmup, decay_steps=config.epochs * steps_per_epoch
        )
    return optax.linear_schedule(first, rate, warmup) if warmup else rate


def _is_kernel(params: dict) -> dict:
    """True for kernels, False for biases, scales and shifts: those have one axis."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
