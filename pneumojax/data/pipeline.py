"""Turns decoded films into batches of fixed shape, in a new order each epoch, on the devices.

The order is a function of (seed, epoch) and the batch a function of the step, so a stream can start
at any step and no iterator state has to be saved.
"""

import functools
import math
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pneumojax.data.film_set import FilmSet
from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.errors import UserError

Batch = dict[str, Any]
_AHEAD = 2  # batches that are ready before their use
_ARRAYS = ("image", "label", "mask", "film")  # the keys of a batch, in the order of `gather`


def steps_per_epoch(films: int, batch_size: int) -> int:
    """The number of batches that visit each film once; the last one is padded."""
    return math.ceil(films / batch_size)


def epoch_order(films: int, seed: int, epoch: int) -> np.ndarray:
    """int64 (films,): the order in which an epoch visits the films."""
    return np.random.default_rng([seed, epoch]).permutation(films)


def films_per_epoch(labels: np.ndarray, balanced: bool) -> int:
    """The number of films in an epoch: all of them or, balanced, twice the rarer class."""
    pneumonia = int(np.sum(labels == 1))
    return 2 * min(pneumonia, len(labels) - pneumonia) if balanced else len(labels)


def balanced_order(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """As `epoch_order`, with all films of the rarer class and as many random ones of the other."""
    order = epoch_order(len(labels), seed, epoch)
    pneumonia = labels[order] == 1
    place_in_class = np.where(pneumonia, np.cumsum(pneumonia), np.cumsum(~pneumonia))
    return order[place_in_class <= films_per_epoch(labels, balanced=True) // 2]


def batch_rows(order: np.ndarray, batch_size: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch `step` of an epoch: int64 (batch_size,) rows and float32 (batch_size,) mask.

    The last batch is padded with films from the front of the order; their mask is 0. Zeros in place
    of films would distort the batch statistics.
    """
    positions = step * batch_size + np.arange(batch_size)
    return order[positions % len(order)], (positions < len(order)).astype(np.float32)


def gather(films: FilmSet, rows: np.ndarray, mask: np.ndarray) -> Batch:
    """One batch on the host, of `rows` int64 (batch,) and `mask` float32 (batch,), 0 for padding.

    Returns:
        `image` uint8 (batch, height, width, 1), `label` int32 (batch,), `mask` as given, and `film`
        int32 (batch,), which is `rows`.
    """
    pixels = films.pixels(rows)
    return {
        # A reshape: `[..., None]` adds an axis of stride 0, which JAX copies pixel by pixel.
        "image": pixels.reshape(*pixels.shape, 1),
        "label": films.labels[rows],
        "mask": mask,
        "film": rows.astype(np.int32),
    }


def training_batches(
    films: FilmSet, batch_size: int, *, seed: int, start_step: int, balanced: bool = False
) -> Iterator[Batch]:
    """An endless stream of batches; each process gets its own part of every batch.

    Args:
        batch_size: the films of a step over all processes.
        start_step: the global step of the first batch.
        balanced: as in `films_per_epoch`.
    """
    tf = tensorflow()
    per_epoch = steps_per_epoch(films_per_epoch(films.labels, balanced), batch_size)
    share = _process_share(batch_size)

    @functools.lru_cache(2)
    def order(epoch: int) -> np.ndarray:
        if balanced:
            return balanced_order(films.labels, seed, epoch)
        return epoch_order(len(films), seed, epoch)

    failed: list[UserError] = []

    def load(step: np.int64) -> list[np.ndarray]:
        epoch, step_in_epoch = divmod(int(step), per_epoch)
        rows, mask = batch_rows(order(epoch), batch_size, step_in_epoch)
        try:
            return list(gather(films, rows[share], mask[share]).values())
        except UserError as error:
            failed.append(error)
            raise

    types = [tf.uint8, tf.int32, tf.float32, tf.int32]
    mapped = tf.autograph.experimental.do_not_convert(
        lambda step: tf.numpy_function(load, [step], types)
    )
    dataset = tf.data.Dataset.range(start_step, np.iinfo(np.int64).max).map(mapped).prefetch(_AHEAD)
    return _Stream(dataset.as_numpy_iterator(), failed)


class _Stream:
    """Batches of a prefetching iterator that is released before the interpreter shuts down.

    The iterator's thread calls Python. If a traceback kept the iterator alive until shutdown, that
    thread would still be running and the process would never end.
    """

    def __init__(self, iterator: Iterator[tuple[np.ndarray, ...]], failed: list[UserError]):
        self._held = [iterator]
        self._failed = failed  # errors that were raised on the iterator's thread
        weakref.finalize(self, self._held.clear)  # runs on collection and at exit

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        try:
            return dict(zip(_ARRAYS, next(self._held[0]), strict=True))
        except Exception:  # tf.data re-raises every exception as its own type
            if self._failed:
                raise self._failed[0] from None
            raise


def evaluation_batches(films: FilmSet, batch_size: int) -> Iterator[Batch]:
    """Every film once, in order, the last batch padded; a thread reads two batches ahead."""
    order = np.arange(len(films))
    share = _process_share(batch_size)

    def load(step: int) -> Batch:
        rows, mask = batch_rows(order, batch_size, step)
        return gather(films, rows[share], mask[share])

    with ThreadPoolExecutor(1) as reader:
        waiting: list[Future[Batch]] = []
        for step in range(steps_per_epoch(len(films), batch_size)):
            waiting.append(reader.submit(load, step))
            if len(waiting) > _AHEAD:
                yield waiting.pop(0).result()
        for batch in waiting:
            yield batch.result()


def to_devices(batches: Iterable[Batch], mesh: Mesh) -> Iterator[Batch]:
    """Moves batches to the devices, split over the mesh's first axis, two ahead of their use."""
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    queue: list[Batch] = []
    for batch in batches:
        # One call for all arrays, since each call costs a tenth of a millisecond. The transfer is
        # meant, but JAX counts it as an implicit one in a job of several processes.
        with jax.transfer_guard_host_to_device("allow"):
            queue.append(jax.make_array_from_process_local_data(sharding, batch))
        if len(queue) > _AHEAD:
            yield queue.pop(0)
    yield from queue


def _process_share(batch_size: int) -> slice:
    """The rows of a global batch that this process loads."""
    local = batch_size // jax.process_count()
    return slice(jax.process_index() * local, (jax.process_index() + 1) * local)
