"""Inception-v3 weights of torchvision, as safetensors: every array at its place exactly once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pneumojax.errors import UserError
from pneumojax.weights.places import convolutions
from pneumojax.weights.tree import Source

_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def read_torchvision(path: Path) -> Source:
    """The arrays of torchvision's `inception_v3` under our places, its auxiliary head among them.

    Convolutions come as (out, in, rows, columns) and dense layers as (out, in). Its networks need
    `config.model.norm_scale` and `config.model.pool_counts_padding`.

    Raises:
        UserError: it cannot be read, lacks an array, or has one that there is no place for.
    """
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{str(path)!r} cannot be read as safetensors: {error}") from error
    # How many batches the running statistics have seen; they are kept by a fixed share here.
    left = {name for name in stored if not name.endswith("num_batches_tracked")}
    arrays = {}
    for place, name in _places("AuxLogits.fc.weight" in stored):
        if name not in stored:
            raise UserError(f"{str(path)!r} lacks {name}: it is no inception_v3 of torchvision")
        arrays[place] = _turned(stored[name])
        left.discard(name)
    if left:
        raise UserError(
            f"{str(path)!r} holds what Inception-v3 has no place for: {min(left)}"
            + (f" and {len(left) - 1} more" if len(left) > 1 else "")
        )
    return Source(arrays, "torchvision", str(path))


def _places(auxiliary: bool) -> Iterator[tuple[tuple, str]]:
    """Our place and their name of every array."""
    layers = list(convolutions())
    dense: list[tuple[tuple, str]] = [(("main_head", "logit"), "fc")]
    if auxiliary:
        layers += [
            (("auxiliary_head", "narrow"), "AuxLogits.conv0"),
            (("auxiliary_head", "conv"), "AuxLogits.conv1"),
        ]
        dense.append((("auxiliary_head", "classifier", "logit"), "AuxLogits.fc"))
    for place, name in layers:
        yield (*place, "kernel"), f"{name}.conv.weight"
        for theirs, ours in _NORM.items():
            yield (*place, "norm", ours), f"{name}.bn.{theirs}"
    for place, name in dense:
        yield (*place, "kernel"), f"{name}.weight"
        yield (*place, "bias"), f"{name}.bias"


def _turned(array: NDArray) -> NDArray[np.float32]:
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    elif array.ndim == 2:
        array = array.T
    return np.ascontiguousarray(array, np.float32)
