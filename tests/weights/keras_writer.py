"""Writes a Keras file of Inception-v3 by Keras itself, for comparisons with what we read back."""

import re

import keras

from pneumojax.weights.inception_v3_names import convolutions


def write_keras(arrays, path, image_size):
    """Writes the arrays, given by our paths, into a file whose suffix decides its format."""
    kernel, logit = arrays[("stem1", "kernel")], arrays[("main_head", "logit", "kernel")]
    backbone = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(image_size, image_size, kernel.shape[2])
    )
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(backbone.output)
    x = keras.layers.Dense(logit.shape[1], name="predictions")(x)
    model = keras.Model(backbone.input, x, name="inception_v3")
    written = {}
    for parameter, variable in variables(model):
        variable.assign(arrays[parameter])
        written[variable.path] = parameter
    assert written.keys() == {variable.path for variable in model.weights}
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)


def variables(model):
    """Our path of each of the model's variables."""
    convs = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    convs.sort(key=number)
    for (path, _), layer in zip(convolutions(), convs, strict=True):
        norm = layer._outbound_nodes[0].operation
        yield (*path, "kernel"), layer.kernel
        yield (*path, "norm", "bias"), norm.beta
        yield (*path, "norm", "mean"), norm.moving_mean
        yield (*path, "norm", "var"), norm.moving_variance
    dense = model.get_layer("predictions")
    yield ("main_head", "logit", "kernel"), dense.kernel
    yield ("main_head", "logit", "bias"), dense.bias


def number(layer):
    """17 for "conv2d_17", and 0 for "conv2d"."""
    match = re.search(r"_(\d+)$", layer.name)
    return int(match[1]) if match else 0
