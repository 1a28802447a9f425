"""Turns decoded films into batches of fixed shape, in a new order each epoch, on the devices.

The order is a function of (seed, epoch) and the batch a function of the step, so a stream can start
at any step and no iterator state has to be saved.
"""

import functools
import itertools
import math
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from pneumojax.data.film_set import FilmSet
from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.errors import UserError
from pneumojax.sharding import split

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


@dataclass(frozen=True, eq=False)
class BatchOrder:
    """The films of every training step, a function of the seed and the step alone.

    labels: int32 (films,) of the training set.
    batch_size: the films of a step over all processes.
    balanced: as in `films_per_epoch`.
    """

    labels: np.ndarray
    batch_size: int
    seed: int
    balanced: bool = False

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(films_per_epoch(self.labels, self.balanced), self.batch_size)

    def calls(self, first_step: int = 0, steps_per_call: int = 1) -> "Calls":
        """The calls that take the steps from `first_step` on, counted from 0."""
        return Calls(first_step, self.steps_per_epoch, steps_per_call)

    def rows(self, steps: range) -> tuple[np.ndarray, np.ndarray]:
        """int64 rows and float32 mask of some steps, each (steps, batch_size)."""
        places = [divmod(step, self.steps_per_epoch) for step in steps]
        batches = [batch_rows(self._of_epoch(e), self.batch_size, at) for e, at in places]
        rows, masks = zip(*batches, strict=True)
        return np.stack(rows), np.stack(masks)

    @functools.cached_property
    def _of_epoch(self) -> Callable[[int], np.ndarray]:
        @functools.lru_cache(2)
        def order(epoch: int) -> np.ndarray:
            if self.balanced:
                return balanced_order(self.labels, self.seed, epoch)
            return epoch_order(len(self.labels), self.seed, epoch)

        return order


@dataclass(frozen=True)
class Calls:
    """The steps that each call to the devices takes, from `first_step` on.

    A call takes `steps_per_call` steps, or fewer at the end of an epoch. If it takes more than one,
    the arrays of its batch have a leading axis for the steps.
    """

    first_step: int
    steps_per_epoch: int
    steps_per_call: int

    @property
    def have_step_axis(self) -> bool:
        return self.steps_per_call > 1

    def __getitem__(self, index: int) -> range:
        """The steps of one call, counted from 0."""
        epoch, offset = divmod(self.first_step, self.steps_per_epoch)
        first_epoch = math.ceil((self.steps_per_epoch - offset) / self.steps_per_call)
        if index >= first_epoch:
            later = math.ceil(self.steps_per_epoch / self.steps_per_call)
            epochs, index = divmod(index - first_epoch, later)
            epoch, offset = epoch + 1 + epochs, 0
        start = epoch * self.steps_per_epoch + offset + index * self.steps_per_call
        return range(start, min(start + self.steps_per_call, (epoch + 1) * self.steps_per_epoch))

    def until(self, last_step: int) -> Iterator[range]:
        """The steps of each call up to the end of an epoch, `last_step`."""
        for index in itertools.count():
            if (steps := self[index]).start >= last_step:
                return
            yield steps

    def lengths(self, last_step: int) -> list[int]:
        """The different numbers of steps in a call up to `last_step`, the largest first."""
        return sorted({len(steps) for steps in self.until(last_step)}, reverse=True)


def gather(films: FilmSet, rows: np.ndarray, mask: np.ndarray) -> Batch:
    """One batch on the host, of `rows` int64 (..., batch) and `mask` float32, 0 for padding.

    Returns:
        `image` uint8 (..., batch, height, width, 1), `label` int32 (..., batch), `mask` as given,
        and `film` int32 (..., batch), which is `rows`.
    """
    pixels = films.pixels(rows.reshape(-1))
    return {
        # A reshape: `[..., None]` adds an axis of stride 0, which JAX copies pixel by pixel.
        "image": pixels.reshape(*rows.shape, *pixels.shape[1:], 1),
        "label": films.labels[rows],
        "mask": mask,
        "film": rows.astype(np.int32),
    }


def training_batches(films: FilmSet, order: BatchOrder, calls: Calls) -> Iterator[Batch]:
    """An endless stream with a batch for each call; each process gets its part of every batch.

    `tf.data` reads ahead. TensorFlow takes seconds to import, so a thread does that beside the
    first steps, and until it is done the same function makes batches as they are needed. The
    import begins when `to_devices` has had the batches that it wants before the first step, which
    the import would slow down. It is done before the first epoch ends, so that no later import
    meets it half way.
    """

    def load(index: int) -> Batch:
        return gather(films, *_rows_here(order, calls, index))

    importing: Future[ModuleType] | None = None
    for index in itertools.count():
        ends_epoch = calls[index].stop % calls.steps_per_epoch == 0
        if importing is None and (index > _AHEAD or ends_epoch):
            importer = ThreadPoolExecutor(1, initializer=_yield_to_other_threads)
            importing = importer.submit(tensorflow)
            importer.shutdown(wait=False)
        if importing and (importing.done() or ends_epoch):
            yield from _read_ahead(importing.result(), load, index)
        yield load(index)


def _yield_to_other_threads() -> None:
    """Lowers the priority of this thread, where the system has one for each thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _read_ahead(tf: ModuleType, load: Callable[[int], Batch], first: int) -> "_Stream":
    """The batches from the call `first` on, two of them ready before their use."""
    failed: list[UserError] = []

    def arrays(index: np.int64) -> list[np.ndarray]:
        try:
            return list(load(int(index)).values())
        except UserError as error:
            failed.append(error)
            raise

    types = [tf.uint8, tf.int32, tf.float32, tf.int32]
    mapped = tf.autograph.experimental.do_not_convert(
        lambda index: tf.numpy_function(arrays, [index], types)
    )
    dataset = tf.data.Dataset.range(first, np.iinfo(np.int64).max).map(mapped).prefetch(_AHEAD)
    return _Stream(dataset.as_numpy_iterator(), failed)


def row_batches(order: BatchOrder, calls: Calls) -> Iterator[Batch]:
    """As `training_batches`, with `film` and `mask` only, for films that lie on the devices."""
    for index in itertools.count():
        rows, mask = _rows_here(order, calls, index)
        yield {"mask": mask, "film": rows.astype(np.int32)}


def _rows_here(order: BatchOrder, calls: Calls, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and mask of a call, ([steps,] batch), of which this process takes its share."""
    share = _process_share(order.batch_size)
    rows, mask = (array[:, share] for array in order.rows(calls[index]))
    return (rows, mask) if calls.have_step_axis else (rows[0], mask[0])


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


def to_devices(
    batches: Iterable[Batch], mesh: Mesh, *, have_step_axis: bool = False
) -> Iterator[Batch]:
    """Moves batches to the devices, two ahead of their use; the films are split over the mesh."""
    sharding = split(mesh, axis=1 if have_step_axis else 0)
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
