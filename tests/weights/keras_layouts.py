"""Makes files in the layouts of all Keras versions; each array holds a value of its own."""

import functools
import io
import zipfile
from typing import NamedTuple

import h5py
import numpy as np
from flax import nnx
from flax.traverse_util import flatten_dict

from pneumojax.nn.inception_v3 import InceptionV3
from pneumojax.weights.inception_v3_names import convolutions

# The convolutions, numbered as built, in the order of the list of layers that Keras's summary
# prints. `test_keras_features.py` compares it with real files.
LISTED = [
    *(0, 1, 2, 3, 4, 8, 6, 9, 5, 7, 10, 11, 15, 13, 16, 12, 14, 17, 18, 22, 20, 23, 19, 21, 24),
    *(25, 27, 28, 26, 29, 34, 35, 31, 36, 32, 37, 30, 33, 38, 39, 44, 45, 41, 46, 42, 47, 40, 43),
    *(48, 49, 54, 55, 51, 56, 52, 57, 50, 53, 58, 59, 64, 65, 61, 66, 62, 67, 60, 63, 68, 69, 72),
    *(73, 70, 74, 71, 75, 80, 77, 81, 78, 79, 82, 83, 76, 84, 89, 86, 90, 87, 88, 91, 92, 85, 93),
]
NAMED = {"conv2d": ["kernel"], "dense": ["kernel", "bias"]} | {
    "batch_normalization": ["beta", "moving_mean", "moving_variance"]
}
OURS = {
    ("batch_normalization", "beta"): ("norm", "bias"),
    ("batch_normalization", "moving_mean"): ("norm", "mean"),
    ("batch_normalization", "moving_variance"): ("norm", "var"),
    ("conv2d", "kernel"): ("kernel",),
}


class Layout(NamedTuple):
    """A way of naming arrays, as patterns of {layer} and {array}.

    first: the number of the first convolution.
    extra: arrays that are not the network's, such as an optimizer's.
    """

    pattern: str
    head: str
    first: int = 0
    extra: tuple[tuple[str, str], ...] = ()


NEW = "layers/{layer}/vars/{array}"
CHECKPOINT = "_layer_checkpoint_dependencies/"
LAYOUTS = {
    "published": Layout("{layer}/{layer}/{array}:0", "predictions/predictions/{array}:0", 1),
    "tf.keras, save": Layout(
        "model_weights/{layer}/{layer}/{array}:0",
        "model_weights/diagnosis/diagnosis/{array}:0",
        188,
        (
            ("optimizer_weights/Adam/iter:0", "i8"),
            ("optimizer_weights/Adam/conv2d_188/kernel/m:0", "f4"),
        ),
    ),
    "tf.keras, nested": Layout(
        "model_weights/inception_v3/{layer}/{array}:0", "model_weights/dense_2/dense_2/{array}:0"
    ),
    "tf.keras 2.12": Layout(CHECKPOINT + "{layer}/vars/{array}", CHECKPOINT + "dense/vars/{array}"),
    "tf.keras 2.12, nested": Layout(
        f"{CHECKPOINT}functional/{CHECKPOINT}{{layer}}/vars/{{array}}",
        CHECKPOINT + "dense/vars/{array}",
    ),
    "Keras 3.0, save": Layout(
        "model_weights/{layer}/{array}", "model_weights/predictions/{array}", 94
    ),
    "Keras 3.15, save": Layout(
        "model_weights/{layer}/{layer}/{array}", "model_weights/x/sequential/dense_1/{array}", 9
    ),
    "Keras 3": Layout(
        NEW,
        "layers/dense/vars/{array}",
        extra=(("optimizer/vars/1", "f4"), ("layers/dropout/seed_generator/vars/0", "u4")),
    ),
    "Keras 3, nested": Layout("layers/functional/" + NEW, "layers/dense/vars/{array}"),
    "Keras 3, of a class": Layout("backbone/" + NEW, "head/vars/{array}"),
}


@functools.cache
def shapes(channels, classes):
    module = nnx.eval_shape(
        lambda: InceptionV3(
            image_size=299, channels=channels, classes=classes or 1, rngs=nnx.Rngs(0)
        )
    )
    found = flatten_dict(nnx.to_pure_dict(nnx.split(module)[1]))
    return {p: leaf.shape for p, leaf in found.items() if classes or p[0] != "main_head"}


@functools.cache
def contents(layout, channels=3, classes=0):
    """{name in the file: (our place, shape, the value of all its elements)}."""
    by_position = "vars/" in layout.pattern
    wanted = shapes(channels, classes)
    found = {}
    for position in range(94):
        built = LISTED[position] if by_position else position
        (place, _) = list(convolutions())[built]
        number = layout.first + position
        for (kind, array), ours in OURS.items():
            layer = f"{kind}_{number}" if number else kind
            written = NAMED[kind].index(array) if by_position else array
            name = layout.pattern.format(layer=layer, array=written)
            value = built + ("kernel", "beta", "moving_mean", "moving_variance").index(array) / 8
            found[name] = ((*place, *ours), wanted[*place, *ours], value)
    if classes:
        for index, array in enumerate(NAMED["dense"]):
            name = layout.head.format(array=index if by_position else array)
            place = ("main_head", "logit", array)
            found[name] = (place, wanted[place], 1000 + index)
    return found


def hdf5_bytes(layout, channels=3, classes=0, compression="gzip", change=None):
    """An HDF5 file of the layout; `change(file)` may spoil it before it is closed."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        for name, (_, shape, value) in contents(layout, channels, classes).items():
            if compression:
                packed = {"chunks": shape, "shuffle": True, "fletcher32": True}
                file.create_dataset(
                    name, shape, "f4", fillvalue=value, compression=compression, **packed
                )
            else:
                file.create_dataset(name, data=np.full(shape, value, np.float32))
        for name, dtype in layout.extra:
            file.create_dataset(name, (2,), dtype)
        if change:
            change(file)
    return stream.getvalue()


def archive_bytes(data, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("config.json", "no JSON")
        archive.writestr("model.weights.h5", data)
    return stream.getvalue()
