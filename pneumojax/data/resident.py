"""Keeps the training films on the devices, where a step gathers those of its batch.

A step of a small network takes about a millisecond on a GPU, in which a host can hardly gather and
send the pixels of the next batch. Rows and mask of a batch are all that is sent then.
"""

import math
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, PartitionSpec
from ml_collections import ConfigDict

from pneumojax.data.film_set import FilmSet
from pneumojax.errors import UserError
from pneumojax.sharding import replicated, split


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("images", "labels"),
    meta_fields=("layout", "mesh"),
)
@dataclass(frozen=True)
class ResidentFilms:
    """A training set on the devices.

    images: uint8 (films, h, w, 1), whole on every device ("replicated") or divided among them
        ("sharded") and then padded to a multiple of their number.
    labels: int32 (films,), whole on every device.
    """

    images: Array
    labels: Array
    layout: str
    mesh: Mesh

    def batch(self, rows: dict[str, Array]) -> dict[str, Array]:
        """The batch of `data.pipeline.gather`, from its `film` and `mask`; call it inside jit."""
        film = rows["film"]
        # The barrier keeps the gather out of the step's own fusions, so that a step computes the
        # same bits as with a batch from the host.
        image, label = lax.optimization_barrier((self._images(film), self._labels(film)))
        return {"image": image, "label": label, "mask": rows["mask"], "film": film}

    def _labels(self, film: Array) -> Array:
        return self.labels.at[film].get(mode="promise_in_bounds")

    def _images(self, film: Array) -> Array:
        axis = self.mesh.axis_names[0]
        everywhere, divided = PartitionSpec(), PartitionSpec(axis)
        is_whole = self.layout == "replicated" or self.mesh.size == 1
        return jax.shard_map(
            _from_this_device if is_whole else partial(_from_all_devices, axis=axis),
            mesh=self.mesh,
            in_specs=(everywhere if is_whole else divided, divided),
            out_specs=divided,
            check_vma=False,
        )(self.images, film)


def _from_this_device(images: Array, film: Array) -> Array:
    return images.at[film].get(mode="promise_in_bounds")


def _from_all_devices(images: Array, film: Array, axis: str) -> Array:
    """This device's films of the batch, which may lie on any device.

    Each device looks up the films of the whole batch and contributes zeros for those of others, so
    the sums are the pixels themselves.
    """
    wanted = lax.all_gather(film, axis, tiled=True) - lax.axis_index(axis) * len(images)
    found = images.at[wanted].get(mode="fill", fill_value=0, wrap_negative_indices=False)
    return lax.psum_scatter(found, axis, tiled=True)


def choose_layout(films: FilmSet, config: ConfigDict, mesh: Mesh) -> str:
    """The layout that `config.data.resident` asks for: "off", "replicated" or "sharded".

    "auto" is "off" on a CPU, whose memory holds the films already. On accelerators it is the first
    of "replicated" and "sharded" with which the films fit `config.data.resident_share` of a
    device's memory, or else "off".

    Raises:
        UserError: the config asks for a layout with which the films exceed a device's memory.
    """
    layout = config.data.resident
    if layout == "off":
        return layout
    pixels = films.preprocessing.image_size**2
    needed = {
        "replicated": len(films) * pixels,
        "sharded": math.ceil(len(films) / mesh.size) * pixels,
    }
    device = mesh.local_devices[0]
    memory = (device.memory_stats() or {}).get("bytes_limit")
    if layout == "auto":
        if device.platform == "cpu" or memory is None:
            return "off"
        allowed = config.data.resident_share * memory
        return next((name for name, size in needed.items() if size <= allowed), "off")
    if memory is not None and needed[layout] > memory:
        raise UserError(
            f"config.data.resident is {layout!r}, with which {len(films):,} films take "
            f"{needed[layout] / 1e9:,.1f} GB of each device, and one has {memory / 1e9:,.1f} GB; "
            "use 'sharded', 'auto' or 'off'"
        )
    return layout


def place_films(films: FilmSet, layout: str, mesh: Mesh) -> ResidentFilms:
    """Moves the films to the devices once; each process reads those of its own devices."""
    divided = layout == "sharded"
    side = films.preprocessing.image_size
    count = math.ceil(len(films) / mesh.size) * mesh.size if divided else len(films)

    def pixels(index: tuple[slice, ...] | None) -> np.ndarray:
        part = index[0] if index else slice(None)
        rows = np.arange(count)[part] % len(films)  # the padding is never looked up
        return films.pixels(rows).reshape(-1, side, side, 1)

    everywhere = replicated(mesh)
    images = jax.make_array_from_callback(
        (count, side, side, 1), split(mesh) if divided else everywhere, pixels
    )
    labels = jax.make_array_from_callback(films.labels.shape, everywhere, lambda _: films.labels)
    return ResidentFilms(images, labels, layout, mesh)
