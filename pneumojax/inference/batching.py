"""Runs a network on any number of films, in padded batches of one shape."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from pneumojax.data.film_set import FilmSet
from pneumojax.data.pipeline import evaluation_batches
from pneumojax.inference.forward import Forward
from pneumojax.sharding import replicated, split

Images = NDArray[np.uint8]
Films = FilmSet | Images  # an array is (n, h, w)
Step = Callable[[Images], Any]  # images (batch, h, w, 1) -> a tree of arrays on the devices
T = TypeVar("T")


def make_step(forward: Forward, mesh: Mesh) -> Callable[[dict, Images], Any]:
    """A jitted `(params, images) -> outputs`, which is compiled once for each batch size.

    It takes this process's share of a batch and returns the outputs of the whole batch.
    """
    films = split(mesh)
    compiled = jax.jit(
        forward, in_shardings=(replicated(mesh), films), out_shardings=replicated(mesh)
    )

    def step(params: dict, images: Images) -> Any:
        return compiled(params, jax.make_array_from_process_local_data(films, images))

    return step


def make_batched(forward: Forward, mesh: Mesh, batch_size: int) -> Callable[[dict, Films], Any]:
    """`(params, n films) -> outputs` on the host, a tree of arrays (n, ...); compiled once.

    Args:
        forward: the result of `make_forward` or of `make_explainer`.
        batch_size: a multiple of the number of devices.
    """
    step = make_step(forward, mesh)

    def run(params: dict, films: Films) -> Any:
        return outputs_of(lambda images: step(params, images), films, batch_size)

    return run


def outputs_of(step: Step, films: Films, batch_size: int) -> Any:
    """Runs `step` on n films; returns a tree of arrays (n, ...) on the host."""
    batches = ((None, images) for images in image_batches(films, batch_size))
    outputs = [output for _, output in in_turn(step, batches)]
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(films)], *outputs)


def image_batches(films: Films, batch_size: int) -> Iterator[Images]:
    """Divides films into uint8 (batch_size, h, w, 1) and pads the last batch.

    In a job of several processes, each gets its share of the batches of a `FilmSet`. An array
    works in a single process only.
    """
    if isinstance(films, FilmSet):
        for batch in evaluation_batches(films, batch_size):
            yield batch["image"]
        return
    for start in range(0, len(films), batch_size):
        part = films[start : start + batch_size]
        images = np.zeros((batch_size, *films.shape[1:], 1), np.uint8)
        images[: len(part), ..., 0] = part
        yield images


def in_turn(step: Step, batches: Iterable[tuple[T, Images]]) -> Iterator[tuple[T, Any]]:
    """Runs batches in order; yields the outputs of each on the host.

    The outputs of a batch are fetched after the next batch has been dispatched, so that the
    devices do not wait while the host prepares a batch.

    Args:
        batches: pairs of any tag, which is yielded with the outputs, and the images.
    """
    pending: tuple[T, Any] | None = None
    for tag, images in batches:
        dispatched = tag, step(images)
        if pending is not None:
            yield pending[0], jax.device_get(pending[1])
        pending = dispatched
    if pending is not None:
        yield pending[0], jax.device_get(pending[1])
