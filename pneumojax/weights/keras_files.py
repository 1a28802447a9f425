"""Inception-v3 weights from Keras files, and back: every array at its place exactly once.

Keras itself reads and writes its formats (`.keras`, `.weights.h5` and the older `.h5`); what is
left here is which of its layers is which of ours. It numbers its convolutions in the order in
which it builds them, which is that of `places.convolutions`. Only arrays are read: the network is
Keras's own, built here, since a file's description of one may name any function to be called.
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pneumojax.data.tensorflow_import import tensorflow
from pneumojax.errors import UserError
from pneumojax.weights.hdf5 import LARGEST, shapes_in, weights_in
from pneumojax.weights.places import convolutions
from pneumojax.weights.tree import Arrays, Source

SUFFIXES = (".keras", ".h5")  # ".weights.h5" among them


def read_keras(path: Path) -> Source:
    """The arrays of a Keras Inception-v3 under our places.

    Raises:
        UserError: it cannot be read, or is of another network.
    """
    archive = path.suffix == ".keras"
    if not archive and path.stat().st_size > LARGEST:
        raise UserError(f"{str(path)!r} is of {path.stat().st_size:,} bytes: too large")
    data = weights_in(path) if archive else path.read_bytes()
    channels, classes = _size_in(shapes_in(data, path), path)
    keras = keras_module()
    try:
        model = _model(keras, channels, classes)
        with tempfile.TemporaryDirectory(prefix="pneumojax-weights-") as folder:
            # A copy, so that what is read is what was looked at.
            copy = Path(folder, "model.weights.h5" if archive else path.name)
            copy.write_bytes(data)
            model.load_weights(copy)
    except UserError:
        raise
    except Exception as error:  # damaged or foreign files make Keras raise nearly anything
        reason = str(error).strip().splitlines()
        raise UserError(
            f"{str(path)!r} holds no Inception-v3 that Keras can read: "
            f"{reason[0][:200] if reason else type(error).__name__}"
        ) from error
    return Source(dict(_arrays(model, path)), "Keras", str(path))


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


def _size_in(shapes: Sequence[tuple[int, ...]], path: Path) -> tuple[int, int]:
    """Channels and classes, from the shapes of all arrays."""
    channels = [shape[2] for shape in shapes if len(shape) == 4 and shape[2] in (1, 3)]
    classes = [shape[1] for shape in shapes if len(shape) == 2]
    if len(channels) != 1 or len(classes) > 1 or len(shapes) not in (376, 378):
        raise UserError(
            f"{str(path)!r} holds {len(shapes)} arrays; Inception-v3 has 376, and 378 with its head"
        )
    return channels[0], classes[0] if classes else 1


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


def _arrays(model: Any, path: Path) -> Iterator[tuple[tuple, NDArray[np.float32]]]:
    for place, variable in _places(model, path):
        yield place, variable.numpy().astype(np.float32)
