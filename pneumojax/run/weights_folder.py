"""A published network: a folder in the layout of a Hub repository, with weights as safetensors.

`config.json` and `films.csv` are those of a run folder. `meta.json` is the metadata of its
checkpoint, with the decision, the digest of the arrays and a seal (see `checkpoint`).
`model.safetensors` holds the arrays by their paths, such as "modules.0.bias". Unlike a checkpoint
it can be read by other programs, and has no code that runs when it is opened.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from pneumojax.errors import UserError
from pneumojax.fields import read_record
from pneumojax.files import failing_clearly, replacing, write_json
from pneumojax.run.seal import STORED_AS, cast, check_seal, digest, sealed
from pneumojax.run.stored_config import WEIGHTS

if TYPE_CHECKING:
    from pneumojax.run.checkpoint import Checkpoints

META = "meta.json"


class WeightsFolder:
    """Reads a published network as `Checkpoints` reads a run."""

    def __init__(self, workdir: Path):
        self.workdir = workdir

    def newest_meta(self, *kinds: str) -> dict[str, Any]:
        """The metadata; a published network has one state, so `kinds` are not read."""
        path = self.workdir / META
        meta = read_record(path, ())
        try:
            check_seal(meta)
        except ValueError as error:
            raise UserError(f"{str(path)!r} is damaged: {error}; take a whole copy") from error
        return meta

    def restore_best(self, abstract_params: dict) -> tuple[dict, dict[str, Any]]:
        """Parameters like `abstract_params`, on its devices, and the metadata."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        meta, path = self.newest_meta(), self.workdir / WEIGHTS
        try:
            found = load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"cannot read {str(path)!r}: {error}") from error
        names = _names(abstract_params)
        if odd := sorted({*names} ^ found.keys()):
            raise UserError(f"{str(path)!r} is not of this network: {odd[0]!r} is in one alone")
        tree = jax.tree.structure(abstract_params)
        stored = jax.tree.unflatten(tree, [found[name] for name in names])
        if digest(stored) != meta["digests"]["params"]:
            raise UserError(f"{str(path)!r} is damaged: its arrays are not those of {META}")

        def on_devices(array: np.ndarray, leaf: jax.ShapeDtypeStruct) -> jax.Array:
            if array.shape != leaf.shape:
                raise UserError(f"{str(path)!r} is not of this network: its arrays differ in shape")
            return jax.device_put(array.astype(leaf.dtype), leaf.sharding)

        return jax.tree.map(on_devices, stored, abstract_params), meta


def stored_network(workdir: Path) -> "Checkpoints | WeightsFolder":
    """The checkpoints of a run, or the weights of a published network."""
    if (workdir / WEIGHTS).exists():
        return WeightsFolder(workdir)
    # Importing Orbax takes a second, which a published network does not need.
    from pneumojax.run.checkpoint import Checkpoints

    return Checkpoints(workdir / "checkpoints")


def write_weights(folder: Path, params: dict, meta: dict[str, Any]) -> None:
    """Writes model.safetensors and meta.json into a folder.

    Arrays keep the type in which the checkpoint stored them, and so their digest.
    """
    from safetensors.numpy import save

    stored_as = meta.get("stored_as")
    host = jax.device_get(params)
    stored = cast(host, stored_as) if stored_as in STORED_AS else host
    leaves = map(np.ascontiguousarray, jax.tree.leaves(stored))
    arrays = dict(zip(_names(stored), leaves, strict=True))
    with failing_clearly(folder), replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(arrays, {"format": "np"}))
    write_json(folder / META, sealed({**meta, "digests": {"params": digest(stored)}}))


def _names(tree: dict) -> list[str]:
    """The names of a tree's arrays, such as "modules.0.bias", in the order of its leaves."""
    paths, _ = jax.tree.flatten_with_path(tree)
    return [".".join(str(part.key) for part in path) for path, _ in paths]
