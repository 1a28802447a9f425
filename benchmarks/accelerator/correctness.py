"""Part b: logits, loss, gradients and one update in each precision, against float64 on the CPU.

Both sides are the functions of the training step, on the same weights and random films. The
reference runs on the CPU of the same process, by the CPU's own convolutions, so it shares no kernel
with the card.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict

from benchmarks.accelerator.recipes import PRECISIONS, RandomFilms, Recipe
from pneumojax.inference.forward import to_unit_range
from pneumojax.inference.network import make_network
from pneumojax.training.distillation import Teachers
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.step import StepNumbers, make_gradients, run_numbers

_BATCH = 8
Answers = Mapping[str, np.ndarray]  # float64 arrays by name


@dataclass(frozen=True)
class Errors:
    """Relative errors |found - exact| / |exact| in the Euclidean norm, by name of the tensor.

    gradient, update: the tensor with the largest error among the gradients and among the updates.
    by_tensor: all of them: "loss", "logits/<head>", "gradient/<path>" and "update/<path>". Adam's
        first update is the learning rate times the gradient's sign wherever the gradient exceeds
        epsilon, so a few small gradients of the other sign make a large error there.
    """

    gradient: str
    gradient_error: float
    update: str
    update_error: float
    by_tensor: dict[str, float]


@dataclass(frozen=True)
class Correctness:
    """The errors of one network in each precision, on a batch of random films without dropout."""

    films: int
    image_size: int
    note: str
    errors: dict[str, Errors]


def measure_correctness(network: str, *, smoke: bool) -> Correctness:
    """Computes the reference once and compares the default device with it in each precision."""
    config = Recipe(network, "tf32", batch=4 if smoke else _BATCH, smoke=smoke).config()
    config.model.dropout = 0.0  # its random bits depend on the type that the network computes in
    batch = _random_batch(config)
    cpu = jax.local_devices(backend="cpu")[0]
    with jax.default_device(cpu):
        state = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))()
        weights = jax.device_get((state.params, state.statistics))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda array: array.astype(np.float64), weights)
        exact = _answers(config, "float64", wide, batch, cpu)
    device = jax.local_devices()[0]
    is_cpu = device.platform == "cpu"
    errors: dict[str, Errors] = {}
    for precision in PRECISIONS:
        if is_cpu and precision == "float32":
            errors[precision] = errors["tf32"]
            continue
        of_device = Recipe(network, precision, smoke=smoke).config()
        config.precision, dtype = of_device.precision, of_device.model.dtype
        errors[precision] = _compared(_answers(config, dtype, weights, batch, device), exact)
    note = ""
    if is_cpu:
        note = "on a CPU tf32 is float32, and is measured once for both"
    return Correctness(config.batch_size, config.data.image_size, note, errors)


def _random_batch(config: ConfigDict) -> dict[str, np.ndarray]:
    films = RandomFilms.of(config, config.batch_size)
    count = len(films)
    return {
        "image": films.images[..., None],
        "label": films.labels,
        "mask": np.ones(count, np.float32),
        "film": np.arange(count, dtype=np.int32),
    }


def _answers(
    config: ConfigDict, dtype: str, weights: tuple[dict, dict], batch: dict, device: jax.Device
) -> Answers:
    """The results of one device, computed in one program, as float64 on the host."""
    config = config.copy_and_resolve_references()
    config.model.dtype = dtype
    network, optimizer = make_network(config), make_optimizer(config, 1)
    gradients_of = make_gradients(config, network, Mesh(np.array([device]), ("data",)), Teachers())

    @jax.jit
    def compute(params: dict, statistics: dict, batch: dict) -> dict[str, Any]:
        images = to_unit_range(batch["image"], dtype)
        logits = network.logits(network.join(params, statistics), images)
        keys = jax.random.split(jax.random.key(0), len(images))  # no unit is dropped
        epoch = jnp.zeros((), jnp.int32)
        numbers = StepNumbers(jnp.sum(batch["mask"]), epoch, run_numbers(config, 1))
        (loss, _), gradients = gradients_of(
            params, statistics, (), batch | {"dropout_key": keys}, numbers
        )
        updates, _ = optimizer.update(gradients, optimizer.init(params), params)
        return {"loss": loss, "logits": logits, "gradient": gradients, "update": updates}

    place = partial(jax.device_put, device=device)
    found = jax.device_get(compute(*map(place, weights), place(batch)))
    flat = flatten_dict({k: v for k, v in found.items() if k != "loss"})
    named = {"/".join(map(str, path)): array for path, array in flat.items()}
    return {
        name: np.asarray(a, np.float64) for name, a in (named | {"loss": found["loss"]}).items()
    }


def _compared(found: Answers, exact: Answers) -> Errors:
    errors = {name: relative_error(found[name], exact[name]) for name in exact}

    def largest(kind: str) -> tuple[str, float]:
        of_kind = {name: error for name, error in errors.items() if name.startswith(f"{kind}/")}
        name = max(of_kind, key=lambda name: of_kind[name])
        return name.removeprefix(f"{kind}/"), of_kind[name]

    return Errors(*largest("gradient"), *largest("update"), errors)


def relative_error(found: np.ndarray | Array, exact: np.ndarray | Array) -> float:
    """|found - exact| / |exact| in the Euclidean norm; the absolute error where exact is 0."""
    apart, size = np.linalg.norm(np.subtract(found, exact)), np.linalg.norm(exact)
    return float(apart / size) if size else float(apart)
