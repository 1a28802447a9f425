"""Inception-v3 weights from Keras files, and back: every array at its place exactly once.

Reading needs no Keras: a child process reads the arrays (`hdf5.py`), and their names tell which
layer each belongs to (`keras_layers.py`). A file's description of its network, which may name any
function to be called, is never looked at. Keras itself writes its formats.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.errors import UserError
from pneumojax.weights.hdf5 import read_arrays
from pneumojax.weights.inception_v3_names import convolutions
from pneumojax.weights.keras_layers import at_their_places
from pneumojax.weights.shapes import check_shapes, check_values, expected_shapes
from pneumojax.weights.tree import Arrays, Source

SUFFIXES = (".keras", ".h5")  # ".weights.h5" among them


def read_keras(path: Path) -> Source:
    """The arrays of a Keras Inception-v3 under our places, with or without its classifier.

    Takes `.keras`, `.weights.h5` and the older `.h5`, of a network that is an Inception-v3 or that
    has one inside.

    Raises:
        UserError: it cannot be read, is of another network, or holds values that are not finite.
    """
    found = read_arrays(path)
    try:
        arrays = at_their_places(found)
    except UserError as error:
        raise UserError(f"{str(path)!r} {error}") from None
    shapes = {place: array.shape for place, array in arrays.items()}
    expected = expected_shapes(shapes, auxiliary=False, norm_scale=False)
    check_shapes(shapes, expected, str(path))
    check_values(arrays, str(path))
    return Source(arrays, "Keras", str(path))


def write_keras(arrays: Arrays, path: Path, image_size: int) -> None:
    """A Keras file, by its suffix, of the network whose arrays these are.

    Raises:
        UserError: the suffix is none of Keras's.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{str(path)!r}: name it .keras, .weights.h5 or .h5")
    keras = keras_module()
    kernel, logit = arrays[("stem1", "kernel")], arrays[("main_head", "logit", "kernel")]
    model = _model(keras, kernel.shape[2], logit.shape[1], image_size)
    for place, variable in _places(model, path):
        variable.assign(arrays[place])
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)


def keras_module() -> Any:
    """Keras, on TensorFlow."""
    tensorflow()  # with what it would say at its import kept quiet
    import keras

    return keras


def _model(keras: Any, channels: int, classes: int, side: int = 299) -> Any:
    """Keras's Inception-v3 with a head of logits, for files of weights alone."""
    backbone = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(side, side, channels)
    )
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(backbone.output)
    x = keras.layers.Dense(classes, name="predictions")(x)
    return keras.Model(backbone.input, x, name="inception_v3")


def _places(model: Any, path: Path) -> Iterator[tuple[tuple, Any]]:
    """Our place of each of the model's variables, every one of them once."""
    found = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    found.sort(key=_number)
    places = [place for place, _ in convolutions()]
    if len(found) != len(places):
        raise UserError(f"{str(path)!r} has {len(found)} convolutions, Inception-v3 {len(places)}")
    taken = set()
    for place, layer in zip(places, found, strict=True):
        norm = layer._outbound_nodes[0].operation
        pairs = {
            "kernel": layer.kernel,
            ("norm", "bias"): norm.beta,
            ("norm", "mean"): norm.moving_mean,
            ("norm", "var"): norm.moving_variance,
        }
        for name, variable in pairs.items():
            taken.add(variable.path)
            yield (*place, *([name] if isinstance(name, str) else name)), variable
    dense = [layer for layer in model.layers if type(layer).__name__ == "Dense"]
    for layer in dense[:1]:
        for name, variable in (("kernel", layer.kernel), ("bias", layer.bias)):
            taken.add(variable.path)
            yield ("main_head", "logit", name), variable
    if left := [variable.path for variable in model.weights if variable.path not in taken]:
        raise UserError(f"{str(path)!r} holds what Inception-v3 has no place for: {left[0]}")


def _number(layer: Any) -> int:
    """Of "conv2d_17" 17, of "conv2d" 0."""
    match = re.search(r"_(\d+)$", layer.name)
    return int(match[1]) if match else 0
