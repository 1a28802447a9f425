"""TensorFlow for `tf.data`, imported late and kept off the accelerators."""

import contextlib
import functools
import os
from collections.abc import Iterator
from types import ModuleType

_LEGACY = "TF_USE_LEGACY_KERAS"


def quiet() -> None:
    """Silences TensorFlow's start-up messages. Call it before TensorFlow is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On some processors TensorFlow reports oneDNN at any level. Nothing here computes with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@functools.cache
def tensorflow() -> ModuleType:
    """TensorFlow, imported at first use (seconds) and kept off the accelerators."""
    quiet()
    with _without_keras():
        import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    return tf


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """Keeps TensorFlow from importing Keras at once, which takes almost as long as the rest.

    With this variable it looks for Keras 2 instead, which is rarely installed. `tf.keras` is still
    there, and imports Keras at its first use.
    """
    if _LEGACY in os.environ:
        yield
        return
    os.environ[_LEGACY] = "1"
    try:
        yield
    finally:
        del os.environ[_LEGACY]
