"""The optimizer that a config describes."""

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree
from ml_collections import ConfigDict

from pneumojax.training.parameter_groups import groups_of, is_fine_tuning


def make_optimizer(config: ConfigDict, steps_per_epoch: int) -> optax.GradientTransformation:
    """Adam, or AdamW if there is weight decay, after a clip of the gradient's norm if one is set.

    Adam is Kingma & Ba 2015 (arXiv 1412.6980), and epsilon is added after the bias correction.
    Keras adds it before, which in Optax's terms is epsilon / sqrt(1 - b2^t): 32 times larger at the
    first step and the same later. The difference matters for gradients near epsilon.

    AdamW is Loshchilov & Hutter 2019 (arXiv 1711.05101). The decay is multiplied by the learning
    rate, is not part of the gradient, and applies to kernels alone.
    """
    rate = learning_rate(config, steps_per_epoch)
    norm = config.optimizer.clip_norm
    clip = optax.clip_by_global_norm(norm) if norm else None
    if is_fine_tuning(config):
        groups = _fine_tuning(config, rate, steps_per_epoch)
        return optax.chain(_on_vector(clip), groups) if clip else groups
    adam = _adam(config, rate)
    return _on_vector(optax.chain(clip, adam) if clip else adam)


def learning_rate(config: ConfigDict, steps_per_epoch: int) -> float | optax.Schedule:
    """The rate, or the function from step to rate.

    "cosine" rises linearly over `warmup_epochs` and falls along half a cosine to 0 at the last step
    (Loshchilov & Hutter 2017, arXiv 1608.03983). "constant" may have a warm-up too.
    """
    rate = config.optimizer.learning_rate
    warmup = round(config.optimizer.warmup_epochs * steps_per_epoch)
    first = rate / (warmup + 1)
    if config.optimizer.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(
            first, rate, warmup, decay_steps=config.epochs * steps_per_epoch
        )
    return optax.linear_schedule(first, rate, warmup) if warmup else rate


def _adam(config: ConfigDict, rate: float | optax.Schedule) -> optax.GradientTransformation:
    settings = config.optimizer
    adam = {"b1": settings.b1, "b2": settings.b2, "eps": settings.epsilon}
    if decay := settings.weight_decay:
        # The mask excludes nothing. Checkpoints have had its entry since it told kernels apart.
        return optax.adamw(rate, **adam, weight_decay=decay, mask=True)
    return optax.adam(rate, **adam)


def _on_vector(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """`inner` applied to all parameters as one vector, in which only kernels decay.

    Array by array it would be hundreds of operations, which JAX traces, XLA compiles and each step
    starts one by one. `optax.flatten` does the same, but fails for a group without parameters, and
    `inner` would not know kernels from the rest.
    """

    def init(params: dict) -> optax.OptState:
        return inner.init(ravel_pytree(params)[0])

    def update(
        gradients: dict, state: optax.OptState, params: dict | None = None
    ) -> tuple[dict, optax.OptState]:
        vector, unravel = ravel_pytree(gradients)
        decaying = None if params is None else ravel_pytree(_kernels(params))[0]
        updates, state = inner.update(vector, state, decaying)
        return unravel(updates), state

    return optax.GradientTransformation(init, update)


def _fine_tuning(
    config: ConfigDict, rate: float | optax.Schedule, steps_per_epoch: int
) -> optax.GradientTransformation:
    """An optimizer for each group of `groups_of`; the backbone's starts when it is unfrozen."""
    frozen_steps = config.finetune.frozen_epochs * steps_per_epoch
    factor = config.finetune.backbone_rate

    def backbone_rate(count: Array) -> Array:
        """Converts the backbone's own step count to the run's."""
        now = rate(count + frozen_steps) if callable(rate) else rate
        return factor * jnp.asarray(now)

    backbone = optax.conditionally_mask(
        _on_vector(_adam(config, backbone_rate)), lambda step: step >= frozen_steps
    )
    heads = _on_vector(_adam(config, rate))
    parts = {"heads": heads, "backbone": backbone, "frozen": optax.set_to_zero()}
    return optax.partition(parts, lambda params: groups_of(config, params))


def _kernels(params: dict) -> dict:
    """The parameters with zeros for biases, scales and shifts, which have one axis."""
    return jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else jnp.zeros_like(leaf), params)
