"""TensorFlow for `tf.data`, imported late and kept off the accelerators."""

import functools
import os
from types import ModuleType


@functools.cache
def tensorflow() -> ModuleType:
    """TensorFlow, imported at first use (seconds) and kept off the accelerators."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf
