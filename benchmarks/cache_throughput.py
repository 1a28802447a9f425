"""Measures films/s from the cache without training, into memory and onto the devices.

Command:   python -m benchmarks.cache_throughput <folder with train/> \\
               --output=records/performance/cache_throughput.json
It draws the training stream of `configs/base.py` from films that are decoded and in memory.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pneumojax.configs import base
from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.film_set import FilmSet
from pneumojax.data.films import find_films
from pneumojax.data.pipeline import Batch, BatchOrder, to_devices, training_batches
from pneumojax.data.splits import preprocessing_of
from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.files import write_json
from pneumojax.sharding import make_mesh

BATCH_SIZES = (64, 256)
ROUNDS = 7
FILMS = 20_000  # films of a round


def films_per_second(batches: Iterator[Batch], batch_size: int) -> float:
    """Times one round, in which each batch is complete before the next is requested."""
    began = time.perf_counter()
    for batch in itertools.islice(batches, FILMS // batch_size):
        jax.block_until_ready(batch["image"])
    return FILMS // batch_size * batch_size / (time.perf_counter() - began)


def measure(films: FilmSet) -> list[dict[str, Any]]:
    """Measures the median films/s for each batch size; memory and devices take turns."""
    films.pixels(np.arange(len(films)))  # reads all of them from disk
    tensorflow()  # until it is imported, a stream does not read ahead
    mesh, rows = make_mesh(), []
    for size in BATCH_SIZES:
        order = BatchOrder(films.labels, size, seed=0)
        streams = {
            "in_memory": training_batches(films, order, order.calls()),
            "on_devices": to_devices(training_batches(films, order, order.calls()), mesh),
        }
        rounds = [
            {name: films_per_second(stream, size) for name, stream in streams.items()}
            for _ in range(ROUNDS + 1)
        ][1:]
        medians = {name: statistics.median(each[name] for each in rounds) for name in streams}
        rows.append({"batch_size": size, "films_per_second": medians, "rounds": rounds})
    return rows


def main() -> None:
    """Prints films/s, and stores them if --output is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--cache-dir", type=Path, default=Path("~/.cache/pneumojax"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    config = base.get_config()
    films = load_split(
        find_films(arguments.root),
        "train",
        preprocessing_of(config),
        FilmCache(arguments.cache_dir.expanduser().resolve()),
        max_rejected_fraction=config.data.max_rejected_fraction,
    )
    rows = measure(films)
    for row in rows:
        speeds = ", ".join(f"{k} {v:,.0f} films/s" for k, v in row["films_per_second"].items())
        print(f"batch {row['batch_size']}: {speeds}")
    if arguments.output:
        result = {
            "films": len(films),
            "image_size": films.preprocessing.image_size,
            "device": jax.devices()[0].device_kind,
            "jax": jax.__version__,
            "batches": rows,
        }
        write_json(arguments.output.resolve(), result)


if __name__ == "__main__":
    main()
