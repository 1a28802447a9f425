"""PneumoJAX's part of each contest, through its own functions, and the matrix product.

The matrix product measures how fast the machine can compute at all.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks.peers.serving import timed
from pneumojax.configs import base, inception_v3
from pneumojax.inference.forward import make_forward
from pneumojax.inference.network import make_network
from pneumojax.nn.inception import count_parameters
from pneumojax.profiling.work import count_work
from pneumojax.sharding import make_mesh, on_all_devices, placed
from pneumojax.training.compiling import Held, compile_step
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.setup import begin_state
from pneumojax.training.state import abstract_state, initial_state
from pneumojax.training.step import make_train_step, run_numbers

VERSIONS = f"JAX {jax.__version__}"


def train_step(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times the step of the training loop, which is compiled ahead of time for one shape.

    The state is donated, and each step waits for its metrics.
    """
    if options.get("startup"):
        import pneumojax.training.loop  # noqa: F401, training imports all of this when it starts
    config = base.get_config()
    if options.get("network") == "inception_v3":
        config.model = inception_v3.get_config().model
        config.model.heads = ("main",)  # the peers have only this head
        config.data.normalise = "symmetric"
        config.microbatch_size = options.get("microbatch", 0)
    films, size = options["batch"], options["size"]
    config.batch_size, config.data.image_size = films, size
    mesh = make_mesh()
    network, optimizer = make_network(config), make_optimizer(config, 1)
    shapes = placed(abstract_state(config, network, optimizer), mesh)
    state = begin_state(config, optimizer, shapes, mesh)
    rng = np.random.default_rng(0)
    batch = jax.device_put(
        {
            "image": rng.integers(0, 256, (films, size, size, 1), "u1"),
            "label": rng.integers(0, 2, films, "i4"),
            "mask": np.ones(films, "f4"),
            "film": np.arange(films, dtype="i4"),
        },
        NamedSharding(mesh, PartitionSpec(mesh.axis_names[0])),
    )

    held = Held(numbers=on_all_devices(run_numbers(config, 1_000), mesh))

    def compile_once() -> tuple[jax.stages.Compiled, float]:
        began = time.perf_counter()
        step = make_train_step(config, network, optimizer, 1_000, mesh)
        compiled = compile_step(step, state, config, mesh, held=held)
        return compiled, time.perf_counter() - began

    facts: dict[str, Any] = {"versions": VERSIONS}
    if options.get("startup"):  # the caller has set the compilation cache
        compiled, _ = compile_once()
    else:
        jax.config.update("jax_compilation_cache_dir", f"{options['scratch']}/xla-{os.getpid()}")
        compiled, facts["compile_seconds"] = compile_once()
        jax.clear_caches()
        compiled, facts["compile_seconds_cached"] = compile_once()

    def advance() -> None:
        nonlocal state
        state, metrics = compiled(state, batch, held)
        jax.device_get(metrics)

    for _ in range(options.get("warm_up", 3)):
        advance()
    if not options.get("startup"):
        facts["parameters"] = count_parameters(network.abstract_params)
        facts["flops"] = count_work(network, size).step_flops(films)
    return facts, lambda: timed(advance)


def inference(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times the forward pass. Writes the weights that the other contestants load."""
    config = base.get_config()
    config.data.image_size = options["size"]
    network = make_network(config)
    begin = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)).params)
    params = begin()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, options["size"], options["size"], 1), "u1")
    if not Path(options["weights"]).exists():
        paths, _ = jax.tree.flatten_with_path(params)
        arrays: dict[str, Any] = {
            ".".join(str(key.key) for key in path): np.asarray(a) for path, a in paths
        }
        np.savez(options["weights"], images=images, **arrays)
    step = jax.jit(make_forward(network, make_mesh()))
    count = options["films"]
    batches = [images[: min(count, 64)]] * max(1, count // 64)

    def predict() -> None:
        jax.device_get([step(params, batch) for batch in batches])

    predict()
    facts = {
        "versions": VERSIONS,
        "parameters": count_parameters(params),
        "flops": 2 * count_work(network, options["size"]).forward * count,
        "logits": np.asarray(step(params, images)).tolist(),
    }
    return facts, lambda: timed(predict)


def read_films(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times one pass over a folder of films.

    The first pass decodes the films into an empty cache. A later pass reads the cache.
    """
    from pneumojax.data.cache import FilmCache, load_split
    from pneumojax.data.film_set import FilmSet
    from pneumojax.data.films import find_films
    from pneumojax.data.pipeline import (
        BatchOrder,
        evaluation_batches,
        steps_per_epoch,
        training_batches,
    )
    from pneumojax.data.tensorflow_import import tensorflow
    from pneumojax.decoding.preprocessing import Preprocessing

    folder = Path(options["folder"])
    scratch = Path(options["scratch"]) / f"cache-{os.getpid()}"

    def load() -> FilmSet:
        return load_split(
            find_films(folder.parent),
            folder.name,
            Preprocessing(image_size=options["size"], reduced_decode=True),
            FilmCache(scratch, log=lambda line: None),
            max_rejected_fraction=1.0,
        )

    def read_all() -> None:
        for _ in evaluation_batches(load(), options["batch"]):
            pass

    def first_pass() -> float:
        shutil.rmtree(scratch, ignore_errors=True)
        return timed(read_all)

    first_pass()
    if not options.get("later"):
        return {"versions": VERSIONS}, first_pass
    tensorflow()  # until it is imported, the stream does not read ahead
    films = load()
    order = BatchOrder(films.labels, options["batch"], seed=0)
    batches = training_batches(films, order, order.calls())
    passes = 10  # a single pass takes milliseconds

    def later_passes() -> None:
        for _ in range(passes * steps_per_epoch(len(films), options["batch"])):
            next(batches)

    return {"versions": VERSIONS}, lambda: timed(later_passes) / passes


def matrix_product(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times a float32 product of two 2048 x 2048 matrices, the practical limit of the machine."""
    a = jnp.ones((2048, 2048))
    product = jax.jit(lambda a: a @ a)
    run = lambda: [product(a).block_until_ready() for _ in range(3)]  # noqa: E731
    run()
    return {"versions": VERSIONS, "flops": 2 * 2048**3}, lambda: timed(run) / 3


CONTESTS = {
    "train_step": train_step,
    "inference": inference,
    "input": read_films,
    "matrix_product": matrix_product,
}
