"""Any number of films through a network, in padded batches of one shape."""

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
Films = FilmSet | Images  # images are (n, h, w)
Step = Callable[[Images], Any]  # a batch (batch, h, w, 1) -> a tree of arrays on the devices
T = TypeVar("T")


def make_step(forward: Forward, mesh: Mesh) -> Callable[[dict, Images], Any]:
    """Compiles `forward` at its first call; each further size of batch is compiled again.

    The step takes this process's share of a batch and returns outputs of the whole batch.
    """
    films = split(mesh)
    compiled = jax.jit(
        forward, in_shardings=(replicated(mesh), films), out_shardings=replicated(mesh)
    )

    def step(params: dict, images: Images) -> Any:
        return compiled(params, jax.make_array_from_process_local_data(films, images))

    return step


def make_batched(forward: Forward, mesh: Mesh, batch_size: int) -> Callable[[dict, Films], Any]:
    """`(params, n films) -> outputs of n films`, on the host, compiled once.

    Args:
        forward: from `make_forward`, or from `make_explainer`.
        batch_size: a multiple of the mesh's devices.
    """
    step = make_step(forward, mesh)

    def run(params: dict, films: Films) -> Any:
        return outputs_of(lambda images: step(params, images), films, batch_size)

    return run


def outputs_of(step: Step, films: Films, batch_size: int) -> Any:
    """The outputs of `step` for n films: a tree of arrays (n, ...) on the host."""
    batches = ((None, images) for images in image_batches(films, batch_size))
    outputs = [output for _, output in in_turn(step, batches)]
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(films)], *outputs)


def image_batches(films: Films, batch_size: int) -> Iterator[Images]:
    """Films -> uint8 (batch_size, h, w, 1); the last batch is padded.

    Of a `FilmSet` each process gets its share of every batch. An array is for one process alone.
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
    """Runs batches with whatever belongs to them: yields that and the outputs on the host.

    Each batch is fetched when the next one has been given to the devices, so they do not wait
    for the host to make a batch.
    """
    pending: tuple[T, Any] | None = None
    for belongings, images in batches:
        started = belongings, step(images)
        if pending is not None:
            yield pending[0], jax.device_get(pending[1])
        pending = started
    if pending is not None:
        yield pending[0], jax.device_get(pending[1])
