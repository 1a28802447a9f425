"""Keras on TensorFlow, with Keras's own train step, `predict` and input pipeline.

`benchmarks.contestants.ENVIRONMENT` chooses the backend.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.peers.keras_network import keras_network
from benchmarks.peers.serving import serve, timed

VERSIONS = f"Keras {keras.__version__}, TensorFlow {tf.__version__}"


def train_step(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times `train_on_batch`, Keras's own compiled step."""
    if options.get("network") == "inception_v3":
        sides = (options["size"], options["size"], 3)
        backbone = keras.applications.InceptionV3(
            include_top=False, weights=None, input_shape=sides, pooling="avg"
        )
        features = keras.layers.Dropout(0.2)(backbone.output)
        model = keras.Model(backbone.input, keras.layers.Dense(1)(features)[:, 0])
    else:
        network = keras_network(options["size"])
        model = keras.Model(network.inputs, network.outputs[0])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.random((options["batch"], options["size"], options["size"], 3), "f4"))
    labels = tf.constant(rng.integers(0, 2, options["batch"]).astype("f4"))
    for _ in range(options.get("warm_up", 3)):
        model.train_on_batch(images, labels)
    facts = {"versions": VERSIONS, "parameters": model.count_params()}
    return facts, lambda: timed(lambda: model.train_on_batch(images, labels))


def inference(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times `predict` over several batches in one call, as users call it."""
    network = keras_network(options["size"])
    with np.load(options["weights"]) as weights:
        for variable in network.variables:
            if variable.path.replace("/", ".") in weights:
                variable.assign(weights[variable.path.replace("/", ".")])
        images = np.repeat(weights["images"].astype("f4") / 255, 3, -1)
    model = keras.Model(network.inputs, network.outputs[0])
    many = np.concatenate([images] * (options["films"] // len(images) or 1))[: options["films"]]
    logits = model.predict(images, batch_size=64, verbose=0)
    predict = lambda: model.predict(many, batch_size=min(64, len(many)), verbose=0)  # noqa: E731
    if len(many) == 1:
        predict = lambda: np.asarray(model(many, training=False))  # noqa: E731, `predict` would be slower
    predict()
    facts = {"versions": VERSIONS, "parameters": model.count_params(), "logits": logits.tolist()}
    return facts, lambda: timed(predict)


def read_films(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times one pass over a folder by `image_dataset_from_directory`."""

    def one_pass() -> None:
        films = keras.utils.image_dataset_from_directory(
            options["folder"],
            color_mode="grayscale",
            image_size=(options["size"], options["size"]),
            batch_size=options["batch"],
            shuffle=False,
            verbose=False,
        )
        for _ in films.prefetch(2):
            pass

    one_pass()
    return {"versions": VERSIONS}, lambda: timed(one_pass)


if __name__ == "__main__":
    serve({"train_step": train_step, "inference": inference, "input": read_films})
