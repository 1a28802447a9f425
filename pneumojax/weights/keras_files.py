"""Reads Inception-v3 weights from Keras files, without Keras.

A child process reads the arrays (`hdf5.py`), and their names tell which layer each belongs to. The
description of the network in the file is never read, since it may name any function to be called.
Whatever version wrote the file, and however its networks are nested, the names take one of two
forms:

- ".../conv2d_17/kernel:0" in the older `.h5`. Layers are numbered in the order in which they were
  built, counted over all networks of the program that wrote the file.
- ".../conv2d_17/vars/0" in `.keras` and `.weights.h5` from Keras 2.12 on. Layers are numbered in
  the order of the network's list of layers, which Keras sorts by their distance from its output.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pneumojax.errors import UserError
from pneumojax.weights.hdf5 import read_arrays
from pneumojax.weights.inception_v3_names import convolutions, sorted_by_keras
from pneumojax.weights.shapes import Arrays, ParameterPath, Source, check_shapes, check_values

# For each kind of layer, our name of each variable with the names that Keras files give it.
_CONV = {"kernel": ("kernel", "0")}
_NORM = {"bias": ("beta", "0"), "mean": ("moving_mean", "1"), "var": ("moving_variance", "2")}
_DENSE = {"kernel": ("kernel", "0"), "bias": ("bias", "1")}


@dataclass(frozen=True)
class Layer:
    """The arrays of one layer of a file."""

    folder: str  # the path above the layer's name; "" in the older form of names
    name: str
    variables: dict[str, NDArray[np.float32]]  # by names such as "kernel" or "0"

    @property
    def number(self) -> int:
        """17 for "conv2d_17", and 0 for "conv2d"."""
        match = re.search(r"_(\d{1,9})$", self.name)
        return int(match[1]) if match else 0

    def has(self, names: Mapping[str, tuple[str, str]], ranks: list[int]) -> bool:
        """Whether the variables have these ranks, and names that are all older or all newer."""
        forms = [set(form) for form in zip(*names.values(), strict=True)]
        found = sorted(array.ndim for array in self.variables.values())
        return set(self.variables) in forms and found == ranks

    def renamed(self, names: Mapping[str, tuple[str, str]]) -> dict[str, NDArray[np.float32]]:
        """Its arrays under our names."""
        return {
            ours: self.variables[older if older in self.variables else newer]
            for ours, (older, newer) in names.items()
        }


def read_keras(path: Path) -> Source:
    """The arrays of Keras's Inception-v3 under our paths, with or without its classifier.

    Reads `.keras`, `.weights.h5` and the older `.h5` of an Inception-v3, or of a network that
    contains one.

    Raises:
        UserError: the file cannot be read, is of another network, or holds values that are not
            finite.
    """
    found = read_arrays(path)
    try:
        arrays = arrays_by_path(found)
    except UserError as error:
        raise UserError(f"{str(path)!r} {error}") from None
    shapes = {parameter: array.shape for parameter, array in arrays.items()}
    check_shapes(shapes, str(path), auxiliary=False, norm_scale=False)
    check_values(arrays, str(path))
    return Source(arrays, "Keras", str(path))


def arrays_by_path(arrays: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """The arrays of a file under the paths of our network, every one of them once.

    Messages of errors continue a sentence that begins with the file.
    """
    convs, norms, others = [], [], []
    for layer in _layers(arrays):
        if layer.has(_CONV, [4]):
            convs.append(layer)
        elif layer.has(_NORM, [1, 1, 1]):
            norms.append(layer)
        else:
            others.append(layer)
    paths = [path for path, _ in convolutions()]
    if not len(convs) == len(norms) == len(paths):
        raise UserError(
            f"holds {len(arrays)} arrays; Inception-v3 has 376, and 378 with its head "
            f"({len(convs)} convolutions of its kind, and 94 are needed)"
        )
    found: Arrays = {}
    for layer, path in _in_order(convs, paths):
        found |= {(*path, ours): array for ours, array in layer.renamed(_CONV).items()}
    for layer, path in _in_order(norms, paths):
        found |= {(*path, "norm", ours): array for ours, array in layer.renamed(_NORM).items()}
    return found | _head(others)


def _layers(arrays: Mapping[str, NDArray[np.float32]]) -> list[Layer]:
    layers: dict[tuple[str, str], Layer] = {}
    for full, array in arrays.items():
        match full.split("/"):
            case [*above, name, "vars", variable]:
                folder = "/".join(above)
            case [*_, name, variable]:
                folder, variable = "", re.sub(r":\d+$", "", variable)
            case _:
                raise UserError(f"holds an array {full!r} that belongs to no layer")
        layer = layers.setdefault((folder, name), Layer(folder, name, {}))
        if variable in layer.variables:
            raise UserError(f"holds two arrays {variable!r} of the layer {name!r}")
        layer.variables[variable] = array
    return list(layers.values())


def _in_order(
    layers: list[Layer], paths: list[ParameterPath]
) -> Iterator[tuple[Layer, ParameterPath]]:
    """Layers of one kind, each with the path of its convolution."""
    if len({layer.number for layer in layers}) < len(layers):
        raise UserError("numbers two layers alike: it holds more than one network, or a part")
    if len({layer.folder for layer in layers}) > 1:
        raise UserError("divides its convolutions among several networks")
    newer = ["0" in layer.variables for layer in layers]
    if any(newer) and not all(newer):
        raise UserError("names its arrays in two ways")
    in_file_order = sorted(layers, key=lambda layer: layer.number)
    return zip(in_file_order, sorted_by_keras() if all(newer) else paths, strict=True)


def _head(layers: list[Layer]) -> Arrays:
    """The dense layer at the end of the network, if the file has one."""
    dense = [layer for layer in layers if layer.has(_DENSE, [1, 2])]
    others = [layer for layer in layers if not layer.has(_DENSE, [1, 2])]
    if unknown := dense[1:] + others:
        raise UserError(
            f"holds what Inception-v3 has no place for: the arrays of layer {unknown[0].name!r}"
        )
    return {
        ("main_head", "logit", ours): array
        for layer in dense
        for ours, array in layer.renamed(_DENSE).items()
    }
