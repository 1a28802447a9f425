"""Runs training steps and an evaluation on generated films, over given devices or processes.

Command:   XLA_FLAGS=--xla_force_host_platform_device_count=8 \\
               python -m tests.support.equal_steps --devices=1,8 --out=/tmp/steps.npz
It stores losses, the final state and logits, which `devices.py` and the tests compare; they must
not depend on the devices. The batches are those of training: 43 films in batches of 16, so that the
third batch of each epoch is padded. With main.py's flags for a job of several processes, all
devices of the job are used and process 0 stores the results.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

FILMS, BATCH, SIDE = 43, 16, 32
EVALUATED = 21  # films; the second batch of 16 has 11 films of padding
STEPS = {"float64": 20, "float32": 1}
# The fields that each case changes in a small `configs/base.py`, which has dropout. Batch norm
# comes with SiLU and films of mean 0. Behind a ReLU the next norm would cancel some shifts, and
# their gradients would be rounding errors alone.
NORM = {"model.norm": "batch", "model.activation": "silu", "data.normalise": "film"}
CASES: dict[str, dict[str, Any]] = {
    "whole_batch": {"microbatch_size": BATCH},
    "plain": {},
    "two_at_a_time": {"microbatch_size": 2},
    "own_statistics": NORM | {"statistics_over": "device"},
    "augmented": NORM
    | {
        "augment.crop_area": (0.5, 1.0),
        "augment.rotation": 10.0,
        "augment.flip": 0.5,
        "augment.contrast": 0.5,
        "augment.erase": 0.3,
        "augment.mixup": 0.4,
    },
}


def small_config(case: str, dtype: str) -> Any:
    """Makes the config of a case."""
    from pneumojax.configs import base

    config = base.get_config()
    config.batch_size, config.data.image_size = BATCH, SIDE
    config.model.stem, config.model.modules = (16, 16, 32), ((16, 16, 32, 8, 16, 16),)
    config.model.dtype = dtype
    if dtype == "float32":
        # With an epsilon of 1e-7, Adam's first step would turn rounding errors into full steps.
        config.optimizer.epsilon = 1.0
    config.update_from_flattened_dict(CASES[case])
    return config.lock()


def film_set(count: int) -> Any:
    """Makes films of noise from their count. Three in four are positive, with a dark upper half.

    Without a pattern in the labels the gradients would cancel to rounding errors.
    """
    from pneumojax.data.film_set import FilmFacts, FilmSet
    from pneumojax.data.index import RECORD
    from pneumojax.decoding.preprocessing import Preprocessing

    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, SIDE, SIDE), np.uint8)
    labels = (rng.random(count) < 0.75).astype(np.int32)
    images[labels == 1, : SIDE // 2] //= 2
    records = np.zeros(count, RECORD)
    records["size"] = SIDE
    return FilmSet(
        records=records,
        text=np.zeros(0, np.uint8),  # nothing reads a path
        rows=np.arange(count),
        root=Path(),
        split="train",
        preprocessing=Preprocessing(SIDE),
        images=images,
        places=np.arange(count),
        facts=FilmFacts(labels),
        rejected=[],
        ignored=0,
    )


def batches(films: Any, seed: int, steps: int) -> Iterator[dict[str, Any]]:
    """Yields this process's rows of the batches of `training_batches`, without TensorFlow."""
    from pneumojax.data import pipeline

    per_epoch = pipeline.steps_per_epoch(len(films), BATCH)
    share = pipeline._process_share(BATCH)
    for step in range(steps):
        epoch, in_epoch = divmod(step, per_epoch)
        order = pipeline.epoch_order(len(films), seed, epoch)
        rows, mask = pipeline.batch_rows(order, BATCH, in_epoch)
        yield pipeline.gather(films, rows[share], mask[share])


def run(case: str, dtype: str, mesh: Any, steps: int) -> dict[str, np.ndarray]:
    """Trains; returns {"losses": (steps,), "logits": (EVALUATED,), "<path in state>": values}."""
    import jax
    import jax.numpy as jnp

    from pneumojax.data.pipeline import steps_per_epoch, to_devices
    from pneumojax.inference.forward import make_batched, make_forward
    from pneumojax.inference.network import make_network
    from pneumojax.sharding import replicated
    from pneumojax.training.optimizer import make_optimizer
    from pneumojax.training.state import evaluation_params, initial_state
    from pneumojax.training.step import make_train_step

    config, films = small_config(case, dtype), film_set(FILMS)
    per_epoch = steps_per_epoch(FILMS, BATCH)
    network, optimizer = make_network(config), make_optimizer(config, per_epoch)

    def begin() -> Any:
        state = initial_state(config, optimizer)
        return jax.tree.map(lambda a: a.astype(dtype) if a.dtype == jnp.float32 else a, state)

    everywhere = replicated(mesh)
    state = jax.jit(begin, out_shardings=everywhere)()
    step = jax.jit(
        make_train_step(config, network, optimizer, per_epoch, mesh), out_shardings=everywhere
    )
    losses = []
    for batch in to_devices(batches(films, config.seed, steps), mesh):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    logits = make_batched(make_forward(network, mesh), mesh, BATCH)(
        evaluation_params(network, state), film_set(EVALUATED)
    )
    leaves = jax.tree.leaves_with_path(state)
    return {"losses": np.array(losses), "logits": logits} | {
        jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves
    }


def main() -> None:
    """Runs the cases asked for and stores them under "<case>/<type>/<devices>/<name>"."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument(
        "--devices", default="", help="counts of this process's devices; default: all"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--distributed", action="store_true")
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--process", type=int)
    arguments = parser.parse_args()

    from pneumojax import runtime

    if arguments.distributed:
        runtime.join(arguments.coordinator, arguments.processes, arguments.process)
    import jax
    from jax.sharding import Mesh

    found: dict[str, Any] = {}
    for count in map(int, (arguments.devices or str(jax.device_count())).split(",")):
        mesh = Mesh(np.array(jax.devices()[:count]), ("data",))
        for case in arguments.cases.split(","):
            for dtype, steps in STEPS.items():
                with jax.enable_x64(dtype == "float64"):
                    result = run(case, dtype, mesh, steps)
                found |= {f"{case}/{dtype}/{count}/{name}": a for name, a in result.items()}
    if runtime.is_leader():
        np.savez(arguments.out, **found)


if __name__ == "__main__":
    main()
