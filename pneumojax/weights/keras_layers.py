"""Finds the place of each array of a Keras file in Inception-v3, by the names in the file.

Two ways of naming are in use, whatever version wrote the file and however its networks are nested:

- The older `.h5`: ".../conv2d_17/kernel:0". Layers are numbered in the order in which they were
  built, counted over all networks of the program that wrote the file.
- `.keras` and `.weights.h5` from Keras 2.12 on: ".../conv2d_17/vars/0". Layers are numbered in the
  order of the network's list of layers, which Keras sorts by their distance from its output.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pneumojax.errors import UserError
from pneumojax.weights.inception_v3_names import convolutions, sorted_by_keras
from pneumojax.weights.tree import Arrays

_CONV = ({"kernel"}, {"0"})
_NORM = ({"beta", "moving_mean", "moving_variance"}, {"0", "1", "2"})
_DENSE = ({"kernel", "bias"}, {"0", "1"})


class Name(NamedTuple):
    """The path of an array in a file, taken apart.

    folder: of the layer's name in the file; "" for older names, which repeat the layer's.
    layer: such as "conv2d_17".
    variable: such as "kernel", or its number.
    """

    folder: str
    layer: str
    variable: str


class Layer(NamedTuple):
    """A layer's arrays by the name of their variable, and the name of the layer in the file."""

    name: Name
    variables: dict[str, NDArray[np.float32]]

    @property
    def number(self) -> int:
        """17 for "conv2d_17", and 0 for "conv2d"."""
        match = re.search(r"_(\d{1,9})$", self.name.layer)
        return int(match[1]) if match else 0

    @property
    def ranks(self) -> list[int]:
        """The number of dimensions of each array, sorted."""
        return sorted(array.ndim for array in self.variables.values())


def at_their_places(arrays: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """The arrays of a file under the places of our network, every one of them once.

    Raises:
        UserError: the file is not of Inception-v3, or holds an array that has no place in it. The
            message continues a sentence that begins with the file's name.
    """
    convs, norms, others = [], [], []
    for layer in _layers(arrays):
        names = set(layer.variables)
        if layer.ranks == [4] and names in _CONV:
            convs.append(layer)
        elif layer.ranks == [1, 1, 1] and names in _NORM:
            norms.append(layer)
        else:
            others.append(layer)
    places = [place for place, _ in convolutions()]
    if not len(convs) == len(norms) == len(places):
        raise UserError(
            f"holds {len(arrays)} arrays; Inception-v3 has 376, and 378 with its head "
            f"({len(convs)} convolutions of its kind, and 94 are needed)"
        )
    placed: Arrays = {}
    for layer, place in _in_order(convs, places):
        placed[*place, "kernel"] = next(iter(layer.variables.values()))
    for layer, place in _in_order(norms, places):
        for ours, older, newer in (
            ("bias", "beta", "0"),
            ("mean", "moving_mean", "1"),
            ("var", "moving_variance", "2"),
        ):
            by_name = layer.variables
            placed[*place, "norm", ours] = by_name[older if older in by_name else newer]
    return placed | _head(others)


def _layers(arrays: Mapping[str, NDArray[np.float32]]) -> list[Layer]:
    layers: dict[tuple[str, str], Layer] = {}
    for path, array in arrays.items():
        name = _parsed(path)
        layer = layers.setdefault((name.folder, name.layer), Layer(name, {}))
        if name.variable in layer.variables:
            raise UserError(f"holds two arrays {name.variable!r} of the layer {name.layer!r}")
        layer.variables[name.variable] = array
    return list(layers.values())


def _parsed(path: str) -> Name:
    match path.split("/"):
        case [*folder, layer, "vars", variable]:
            return Name("/".join(folder), layer, variable)
        case [*_, layer, variable]:
            return Name("", layer, re.sub(r":\d+$", "", variable))
        case _:
            raise UserError(f"holds an array {path!r} that belongs to no layer")


def _in_order(
    layers: list[Layer], places: list[tuple[str | int, ...]]
) -> Iterator[tuple[Layer, tuple[str | int, ...]]]:
    """Layers of one kind beside the places of their convolutions."""
    if len({layer.number for layer in layers}) < len(layers):
        raise UserError("numbers two layers alike: it holds more than one network, or a part")
    if len({layer.name.folder for layer in layers}) > 1:
        raise UserError("divides its convolutions among several networks")
    in_file_order = sorted(layers, key=lambda layer: layer.number)
    by_position = all("0" in layer.variables for layer in layers)
    if not by_position and any("0" in layer.variables for layer in layers):
        raise UserError("names its arrays in two ways")
    order = sorted_by_keras() if by_position else places
    return zip(in_file_order, order, strict=True)


def _head(layers: list[Layer]) -> Arrays:
    """The dense layer behind the network, if the file has one."""
    if not layers:
        return {}
    first, *more = sorted(layers, key=lambda layer: layer.ranks != [1, 2])
    if first.ranks != [1, 2] or set(first.variables) not in _DENSE:
        more = [first]
    if more:
        raise UserError(
            f"holds what Inception-v3 has no place for: the arrays of layer {more[0].name.layer!r}"
        )
    by_name = first.variables
    kernel = by_name["kernel" if "kernel" in by_name else "0"]
    bias = by_name["bias" if "bias" in by_name else "1"]
    return {("main_head", "logit", "kernel"): kernel, ("main_head", "logit", "bias"): bias}
