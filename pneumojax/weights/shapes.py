"""The arrays of a run or file by parameter path, and the shapes that Inception-v3's must have."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumojax.errors import UserError
from pneumojax.tree_paths import by_path

ParameterPath = tuple[str | int, ...]  # such as ("modules", 0, "branch1", "kernel")
Arrays = dict[tuple, NDArray]
Shapes = dict[tuple, tuple[int, ...]]
_STEM = ("stem1", "kernel")
_HEAD = ("main_head", "logit", "kernel")
_SIZE = 299  # pixels; the published auxiliary head is for films of this size


@dataclass(frozen=True)
class Source:
    """Arrays to start from, by the path that each has in our network.

    kind: "run", "Keras" or "torchvision".
    path: the folder or file that they came from.
    """

    arrays: Arrays
    kind: str
    path: str


def expected_shapes(
    given: Mapping[tuple, tuple[int, ...]], *, auxiliary: bool, norm_scale: bool
) -> Shapes:
    """The shape of each array of the network with a file's numbers of channels and classes.

    The first kernel of `given` tells the channels, the last the classes.
    """
    # Films have 1 or 3 channels; any other number is then reported as a wrong shape.
    channels = 1 if _at(given.get(_STEM, ()), 2) == 1 else 3
    classes = max(1, _at(given.get(_HEAD, ()), 1))
    return dict(_shapes(channels, classes, auxiliary, norm_scale))


def check_shapes(
    given: Mapping[tuple, tuple[int, ...]], path: str, *, auxiliary: bool, norm_scale: bool
) -> None:
    """Raises UserError that names the first array whose shape is not the network's."""
    expected = expected_shapes(given, auxiliary=auxiliary, norm_scale=norm_scale)
    for parameter, shape in given.items():
        if shape != expected.get(parameter):
            raise UserError(
                f"{path!r} holds an array of shape {shape} for {_name(parameter)}; "
                f"Inception-v3's is {expected.get(parameter)}"
            )


def check_values(arrays: Arrays, path: str) -> None:
    """Raises UserError for values with which the network would answer NaN.

    These are values that are not finite, and variances below 0, of which batch norm takes roots.
    """
    for parameter, array in arrays.items():
        if not np.isfinite(array).all():
            raise UserError(f"{path!r} holds values that are not finite, in {_name(parameter)}")
        if parameter[-1] == "var" and array.size and array.min() < 0:
            raise UserError(f"{path!r} holds variances below 0, in {_name(parameter)}")


def _at(shape: tuple[int, ...], axis: int) -> int:
    return shape[axis] if len(shape) > axis else 0


def _name(parameter: tuple) -> str:
    return "/".join(str(part) for part in parameter)


@functools.cache
def _shapes(channels: int, classes: int, auxiliary: bool, norm_scale: bool) -> Shapes:
    from flax import nnx  # training starts half a second earlier without it

    from pneumojax.nn.inception_v3 import InceptionV3

    module = nnx.eval_shape(
        lambda: InceptionV3(
            image_size=_SIZE,
            channels=channels,
            classes=classes,
            heads=("main", "auxiliary") if auxiliary else ("main",),
            norm_scale=norm_scale,
            rngs=nnx.Rngs(0),
        )
    )
    tree: dict[tuple, Any] = by_path(nnx.to_pure_dict(nnx.split(module)[1]))
    return {parameter: leaf.shape for parameter, leaf in tree.items()}
