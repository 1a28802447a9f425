"""Reads Inception-v3 weights of torchvision that were saved as safetensors."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from pneumojax.errors import UserError
from pneumojax.isolation.protocol import one_line
from pneumojax.weights.hdf5 import LARGEST
from pneumojax.weights.inception_v3_names import convolutions
from pneumojax.weights.shapes import ParameterPath, Source, check_shapes, check_values

_NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_BFLOAT16 = "BF16"  # the upper half of a float32's bits


def read_torchvision(path: Path) -> Source:
    """The arrays of torchvision's `inception_v3` under our paths, with its auxiliary head.

    A network that uses them needs `norm_scale` and `pool_counts_padding`.

    Raises:
        UserError: the file cannot be read, is too large, or lacks an array; or an array has an
            unknown name, the wrong shape or type, or values that are not finite.
    """
    stored = _stored(path)
    # We have no use for the number of batches that the running statistics have seen.
    left = {name for name in stored if not name.endswith("num_batches_tracked")}
    auxiliary = "AuxLogits.fc.weight" in stored
    found = {}
    for parameter, name in _names(auxiliary):
        if name not in stored:
            raise UserError(f"{str(path)!r} lacks {name}: it is no inception_v3 of torchvision")
        found[parameter] = (name, stored[name])
        left.discard(name)
    if left:
        raise UserError(
            f"{str(path)!r} holds what Inception-v3 has no place for: {min(left)!r}"
            + (f" and {len(left) - 1} more" if len(left) > 1 else "")
        )
    shapes = {
        parameter: _our_shape(tuple(entry["shape"])) for parameter, (_, entry) in found.items()
    }
    check_shapes(shapes, str(path), auxiliary=auxiliary, norm_scale=True)
    arrays = {
        parameter: _our_layout(_array(name, entry, path))
        for parameter, (name, entry) in found.items()
    }
    check_values(arrays, str(path))
    return Source(arrays, "torchvision", str(path))


def _stored(path: Path) -> dict[str, Mapping[str, Any]]:
    """The "dtype", "shape" and "data" (bytes) of each array in the file, by its name."""
    if (size := path.stat().st_size) > LARGEST:
        raise UserError(f"{str(path)!r} has {size:,} bytes: too large")
    try:
        entries = deserialize(path.read_bytes())
    except (OSError, SafetensorError, ValueError, OverflowError) as error:
        reason = f"cannot be read as safetensors: {one_line(error)}"
        raise UserError(f"{str(path)!r} {reason}") from error
    return dict(entries)


def _names(auxiliary: bool) -> Iterator[tuple[ParameterPath, str]]:
    """Our path and torchvision's name of every array."""
    layers = list(convolutions())
    dense: list[tuple[ParameterPath, str]] = [(("main_head", "logit"), "fc")]
    if auxiliary:
        layers += [
            (("auxiliary_head", "narrow"), "AuxLogits.conv0"),
            (("auxiliary_head", "conv"), "AuxLogits.conv1"),
        ]
        dense.append((("auxiliary_head", "classifier", "logit"), "AuxLogits.fc"))
    for path, name in layers:
        yield (*path, "kernel"), f"{name}.conv.weight"
        for theirs, ours in _NORM.items():
            yield (*path, "norm", ours), f"{name}.bn.{theirs}"
    for path, name in dense:
        yield (*path, "kernel"), f"{name}.weight"
        yield (*path, "bias"), f"{name}.bias"


def _array(name: str, entry: Mapping[str, Any], path: Path) -> NDArray[np.float32]:
    dtype, data, shape = entry["dtype"], entry["data"], entry["shape"]
    if dtype == _BFLOAT16:
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    if dtype not in _DTYPES:
        raise UserError(
            f"{str(path)!r} stores {name} as {dtype}; save it as F32, F16, F64 or BF16 instead"
        )
    with np.errstate(over="ignore"):  # `check_values` refuses what overflows to infinity
        return np.frombuffer(data, _DTYPES[dtype]).astype(np.float32).reshape(shape)


def _our_layout(array: NDArray) -> NDArray[np.float32]:
    """Kernels from (out, in, rows, columns) to (rows, columns, in, out), matrices transposed."""
    axes = (2, 3, 1, 0) if array.ndim == 4 else None
    return np.ascontiguousarray(array.transpose(axes), np.float32)


def _our_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that `_our_layout` gives."""
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape[::-1]
