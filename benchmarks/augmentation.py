"""The cost of each ingredient of augmentation, in milliseconds for a batch.

Command:   python -m benchmarks.augmentation --write
The ingredients take turns, so that other work of the machine slows all of them alike.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.hardware import hardware
from pneumojax.augment.augment import film_keys, make_augment
from pneumojax.configs import base, reference
from pneumojax.files import write_json

STORED = Path(__file__).resolve().parents[1] / "records" / "performance" / "augmentation.json"
FILMS, SIDE, ROUNDS = 64, 150, 9
GEOMETRY = ("crop_area", "crop_aspect", "rotation", "shift", "flip")
SINGLE = (
    "gamma",
    "contrast",
    "brightness",
    "blur",
    "downscale",
    "sharpen",
    "noise",
    "jpeg",
    "erase",
)


def variants() -> dict[str, dict[str, Any]]:
    """Returns the fields of `config.augment` for each row, with the strengths of the reference."""
    strong, off = reference.get_config().augment.to_dict(), base.get_config().augment.to_dict()
    some = {"geometry": {name: strong[name] for name in GEOMETRY}}
    some |= {name: {name: strong[name]} for name in SINGLE}
    rows = {name: off | fields | {"size": 128} for name, fields in some.items()}
    return {"resize alone": off | {"size": 128}} | rows | {"the reference recipe": strong}


def measure() -> dict[str, float]:
    """Times each variant: the median over rounds, in milliseconds for a batch."""
    films = np.random.default_rng(0).random((FILMS, SIDE, SIDE, 1), np.float32)
    keys = film_keys(0, jnp.int32(0), jnp.arange(FILMS))
    steps = {name: jax.jit(make_augment(fields, SIDE)) for name, fields in variants().items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):  # the first round compiles
        for name, step in steps.items():
            began = time.perf_counter()
            jax.block_until_ready(step(films, keys))
            seconds[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(times[1:]) for name, times in seconds.items()}


def main() -> None:
    """Measures, prints, and stores the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store the figures in records/")
    arguments = parser.parse_args()
    milliseconds = measure()
    found = {
        "command": "python -m benchmarks.augmentation --write",
        "hardware": hardware(),
        "films": FILMS,
        "side": SIDE,
        "milliseconds": milliseconds,
    }
    for name, value in milliseconds.items():
        print(f"{name:24} {value:.1f} ms")
    if arguments.write:
        write_json(STORED, found)


if __name__ == "__main__":
    main()
