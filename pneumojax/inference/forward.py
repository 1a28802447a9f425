"""A network applied to uint8 films, in padded batches over all devices, a few films at a time."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, stages
from jax.sharding import Mesh, PartitionSpec
from jax.typing import DTypeLike
from numpy.typing import NDArray

from pneumojax.data.film_set import FilmSet
from pneumojax.data.pipeline import evaluation_batches
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.sharding import replicated, split
from pneumojax.traced import store_for

if TYPE_CHECKING:
    from pneumojax.inference.network import Network

# (params, uint8 images (batch, h, w, 1)) -> arrays whose first axis is the batch, which the devices
# must divide. It is pure; jit it.
Forward = Callable[[dict, Array], Any]
Images = NDArray[np.uint8]
Films = FilmSet | Images  # an array is (n, h, w)
Step = Callable[[Images], Any]  # images (batch, h, w, 1) -> a tree of arrays on the devices
T = TypeVar("T")


def to_unit_range(images: Array, dtype: DTypeLike = jnp.float32) -> Array:
    """uint8 (batch, h, w, 1) -> the same shape in [0, 1], as `dtype` but at least float32."""
    return images.astype(jnp.promote_types(jnp.float32, dtype)) / 255


def microbatch_size(films: int, mesh: Mesh, wanted: int = 0) -> int:
    """How many of a device's `films` go through the network at a time.

    On a CPU that is four, whose activations fit its caches: a step takes two thirds of the time
    of the whole batch at once and a tenth of its memory (docs/performance.md). On accelerators it
    is the whole batch. `wanted` replaces that number unless it is 0; if it does not divide
    `films`, the largest common divisor is taken.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return math.gcd(films, wanted or (FILMS_IN_CACHE if on_cpu else films))


def make_forward(network: "Network", mesh: Mesh) -> Forward:
    """A pure `(params, uint8 images (batch, h, w, 1)) -> logits (batch,)`, without dropout."""

    def logits(params: dict, images: Array) -> Array:
        return network.evaluation_logits(params, to_unit_range(images))

    return over_microbatches(logits, mesh)


def over_microbatches(forward: Forward, mesh: Mesh) -> Forward:
    """Splits the batch over the devices, and each device's part into microbatches.

    Films are independent in `forward`, so the results differ from those of the whole batch at
    once in rounding alone.
    """
    axis = mesh.axis_names[0]

    def on_device(params: dict, images: Array) -> Any:
        at_once = microbatch_size(len(images), mesh)
        if at_once == len(images):
            return forward(params, images)
        parts = images.reshape(-1, at_once, *images.shape[1:])
        results = lax.map(lambda part: forward(params, part), parts)
        return jax.tree.map(lambda result: result.reshape(-1, *result.shape[2:]), results)

    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(axis)),
        out_specs=PartitionSpec(axis),
        check_vma=False,
    )


class MeshStep:
    """A forward pass, whose batches are divided over the devices of a mesh.

    Args:
        make: returns the pass. It is not called for a shape of batch whose program is stored.
        key: what decides the pass, as JSON values; None if it must not be stored on disk.
    """

    def __init__(self, make: Callable[[], Forward], mesh: Mesh, key: list[Any] | None = None):
        self._make = make
        self._films, self._everywhere = split(mesh), replicated(mesh)
        self._key = key
        self._store = None if key is None else store_for(mesh)
        self._jitted: dict[tuple[int, ...], stages.Wrapped] = {}  # one for each shape of a batch

    def __call__(self, params: dict, images: Images) -> Any:
        """The outputs of the whole batch, from this process's share of its images."""
        placed = jax.make_array_from_process_local_data(self._films, images)
        return self._program(params, placed.shape)(params, placed)

    def compile(self, params: dict, shape: tuple[int, ...]) -> None:
        """Compiles the step for batches of this shape, which JAX keeps for the calls to come."""
        images = jax.ShapeDtypeStruct(shape, np.uint8, sharding=self._films)
        self._program(params, shape).lower(params, images).compile()

    def _program(self, params: dict, shape: tuple[int, ...]) -> stages.Wrapped:
        if shape not in self._jitted:
            self._jitted[shape] = jax.jit(
                self._forward(params, shape),
                in_shardings=(self._everywhere, self._films),
                out_shardings=self._everywhere,
            )
        return self._jitted[shape]

    def _forward(self, params: dict, shape: tuple[int, ...]) -> Forward:
        if self._store is None or self._key is None:
            return self._make()
        images = jax.ShapeDtypeStruct(shape, np.uint8)
        stored = self._store.program(self._key, self._make, params, images)

        def on_device(params: dict, images: Array) -> Any:
            return stored(params, images)

        return on_device


def make_batched(forward: Forward, mesh: Mesh, batch_size: int) -> Callable[[dict, Films], Any]:
    """`(params, n films) -> outputs` on the host, a tree of arrays (n, ...); compiled once."""
    step = MeshStep(lambda: forward, mesh)

    def run(params: dict, films: Films) -> Any:
        return outputs_of(lambda images: step(params, images), films, batch_size)

    return run


def outputs_of(step: Step, films: Films, batch_size: int) -> Any:
    """Runs `step` on n films; returns a tree of arrays (n, ...) on the host."""
    batches = enumerate(image_batches(films, batch_size))
    outputs = [output for _, output in in_turn(step, batches)]
    return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(films)], *outputs)


def image_batches(films: Films, batch_size: int) -> Iterator[Images]:
    """Divides films into uint8 (batch_size, h, w, 1) and pads the last batch.

    Each process of a job gets its share of a `FilmSet`; an array works in a single process only.
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
    """Runs `step` on batches in order, and yields the outputs on the host.

    Each batch comes in a pair with a tag of the caller's, such as a name, which is yielded with its
    outputs. Outputs are fetched after the next batch has been dispatched, so that the devices do
    not wait while the host prepares a batch.
    """
    pending: tuple[T, Any] | None = None
    for tag, images in batches:
        dispatched = tag, step(images)
        if pending is not None:
            yield pending[0], jax.device_get(pending[1])
        pending = dispatched
    if pending is not None:
        yield pending[0], jax.device_get(pending[1])
