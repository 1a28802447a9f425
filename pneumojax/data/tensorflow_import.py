"""TensorFlow for `tf.data`, imported late and kept off the accelerators."""

import functools
import os
from types import ModuleType


def quiet() -> None:
    """Silences TensorFlow's start-up messages. Call it before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On some processors TensorFlow reports oneDNN at any level. Nothing here computes with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@functools.cache
def tensorflow() -> ModuleType:
    """TensorFlow, imported at first use (seconds) and kept off the accelerators."""
    quiet()
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf
