"""Stock JAX: the same network made of Flax NNX's own layers, as a JAX user would write it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.peers.serving import serve, timed

VERSIONS = f"JAX {jax.__version__}"
MODULES = ((64, 48, 64, 8, 16, 32), (128, 64, 96, 16, 32, 64))


class InceptionModule(nnx.Module):
    """An Inception module with four parallel branches and factorized larger windows."""

    def __init__(self, features: int, widths: tuple[int, ...], rngs: nnx.Rngs):
        f1, f2_in, f2_out, f3_in, f3_out, f4 = widths
        conv = partial(nnx.Conv, rngs=rngs)
        self.branch1 = conv(features, f1, (1, 1))
        self.branch3_narrow = conv(features, f2_in, (1, 1))
        self.branch3_column = conv(f2_in, f2_out, (3, 1))
        self.branch3_row = conv(f2_out, f2_out, (1, 3))
        self.branch5_narrow = conv(features, f3_in, (1, 1))
        self.branch5_column = conv(f3_in, f3_out, (5, 1))
        self.branch5_row = conv(f3_out, f3_out, (1, 5))
        self.branch_pool = conv(features, f4, (1, 1))

    def __call__(self, x: jax.Array) -> jax.Array:
        branch3 = nnx.relu(self.branch3_column(nnx.relu(self.branch3_narrow(x))))
        branch5 = nnx.relu(self.branch5_column(nnx.relu(self.branch5_narrow(x))))
        pooled = nnx.max_pool(x, (3, 3), padding="SAME")
        branches = [self.branch1(x), self.branch3_row(branch3), self.branch5_row(branch5)]
        return nnx.relu(jnp.concatenate([*branches, self.branch_pool(pooled)], -1))


class Inception(nnx.Module):
    """Maps images (batch, size, size, 3) to logits (batch,). Names are those of our checkpoints."""

    def __init__(self, size: int, rngs: nnx.Rngs):
        self.stem1 = nnx.Conv(3, 32, (3, 3), strides=2, padding="VALID", rngs=rngs)
        self.stem2 = nnx.Conv(32, 32, (3, 3), padding="VALID", rngs=rngs)
        self.stem3 = nnx.Conv(32, 64, (3, 3), rngs=rngs)
        blocks = [InceptionModule(64, MODULES[0], rngs), InceptionModule(176, MODULES[1], rngs)]
        self.modules = nnx.List(blocks)
        self.narrow = nnx.Conv(320, 64, (1, 1), rngs=rngs)
        grid = ((((size - 3) // 2 + 1 - 2) - 3) // 2 + 1 - 5) // 3 + 1
        self.hidden = nnx.Linear(64 * grid**2, 128, rngs=rngs)
        self.logit = nnx.Linear(128, 1, rngs=rngs)

    def __call__(self, x: jax.Array, rngs: nnx.Rngs | None = None) -> jax.Array:
        x = nnx.relu(self.stem3(nnx.relu(self.stem2(nnx.relu(self.stem1(x))))))
        x = nnx.max_pool(x, (3, 3), (2, 2))
        for block in self.modules:
            x = block(x)
        x = nnx.relu(self.narrow(nnx.avg_pool(x, (5, 5), (3, 3))))
        x = nnx.relu(self.hidden(x.reshape(len(x), -1)))
        return self.logit(nnx.Dropout(0.5, deterministic=rngs is None)(x, rngs=rngs))[:, 0]


def network_of(options: dict[str, Any]) -> tuple[nnx.GraphDef, nnx.State]:
    """Returns definition and parameters; only their shapes if weights will be loaded."""
    make = lambda: nnx.split(Inception(options["size"], nnx.Rngs(0)))  # noqa: E731
    return nnx.eval_shape(make) if "films" in options else make()


def train_step(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times one jitted step with donated state: gradient of the whole batch, then Adam."""
    definition, params = network_of(options)
    optimizer = optax.adam(1e-3)
    state = (params, optimizer.init(params), jnp.zeros((), jnp.int32))
    rng = np.random.default_rng(0)
    shape = (options["batch"], options["size"], options["size"], 3)
    images = jnp.asarray(rng.random(shape, "f4"))
    labels = jnp.asarray(rng.integers(0, 2, options["batch"]).astype("f4"))

    @partial(jax.jit, donate_argnums=0)
    def step(state: tuple, images: jax.Array, labels: jax.Array) -> tuple:
        params, moments, count = state

        def loss_of(params: nnx.State) -> jax.Array:
            key = jax.random.fold_in(jax.random.key(0), count)
            logits = nnx.merge(definition, params)(images, nnx.Rngs(dropout=key))
            return optax.sigmoid_binary_cross_entropy(logits, labels).mean()

        loss, gradients = jax.value_and_grad(loss_of)(params)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(params, updates), moments, count + 1), loss

    def advance() -> None:
        nonlocal state
        state, loss = step(state, images, labels)
        loss.block_until_ready()

    for _ in range(options.get("warm_up", 3)):
        advance()
    facts = {"versions": VERSIONS, "parameters": parameters_of(state[0])}
    return facts, lambda: timed(advance)


def inference(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times the jitted forward pass with our weights."""
    definition, params = network_of(options)
    heads = {"narrow": "", "hidden": "classifier.", "logit": "classifier."}
    with np.load(options["weights"]) as weights:
        images = np.repeat(weights["images"].astype("f4") / 255, 3, -1)

        def ours(path: tuple, _: Any) -> jax.Array:
            names = [str(getattr(key, "key", getattr(key, "name", key))) for key in path]
            names = [name for name in names if name != "value"]
            prefix = f"auxiliary_head.{heads[names[0]]}" if names[0] in heads else ""
            return jnp.asarray(weights[prefix + ".".join(names)])

        params = jax.tree.map_with_path(ours, params)
    forward = jax.jit(lambda params, images: nnx.merge(definition, params)(images))
    count = options["films"]
    batches = [images[: min(count, len(images))]] * max(1, count // len(images))
    logits = forward(params, images).tolist()

    def predict() -> None:
        jax.device_get([forward(params, batch) for batch in batches])

    predict()
    facts = {"versions": VERSIONS, "parameters": parameters_of(params), "logits": logits}
    return facts, lambda: timed(predict)


def parameters_of(params: nnx.State) -> int:
    """Counts all values."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


if __name__ == "__main__":
    serve({"train_step": train_step, "inference": inference})
