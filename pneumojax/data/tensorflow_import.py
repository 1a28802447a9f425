"""TensorFlow for `tf.data`, imported late and kept off the accelerators."""

import functools
import os
from types import ModuleType


def quiet() -> None:
    """Keeps TensorFlow from greeting on standard error; for before its import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # It tells of oneDNN on some processors whatever that level; nothing is computed by it here.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@functools.cache
def tensorflow() -> ModuleType:
    """TensorFlow, imported at first use (seconds) and kept off the accelerators."""
    quiet()
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf
