"""With weights from a file that Keras wrote, our features equal those of Keras's network."""

import functools
import shutil
from pathlib import Path

import jax
import keras
import numpy as np
import pytest
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from pneumojax.nn.inception_v3 import InceptionV3
from pneumojax.weights.keras_files import read_keras

SIZE = 75
REAL = Path(__file__).parents[3] / "shared/weights/inception_v3_8bit_notop.h5"
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # of Keras, on saving
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]


def backbone(channels):
    """Keras's network with random weights that keep activations of one size."""
    model = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, channels)
    )
    rng = np.random.default_rng(0)
    for variable in model.weights:
        value = rng.normal(size=variable.shape)
        if variable.name == "kernel":
            value *= np.sqrt(2 / np.prod(variable.shape[:3]))
        else:
            value = 0.5 + np.abs(value) if variable.name == "moving_variance" else 0.1 * value
        variable.assign(value)
    return model


def with_head(network, classes, nested):
    layers = keras.layers
    if nested:
        head = [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(classes)]
        return keras.Sequential([network, *head])
    x = layers.GlobalAveragePooling2D()(network.output)
    return keras.Model(network.input, layers.Dense(classes, name="diagnosis")(x))


@functools.cache
def our_features(channels):
    module = nnx.eval_shape(
        lambda: InceptionV3(image_size=SIZE, channels=channels, rngs=nnx.Rngs(0))
    )
    definition, state = nnx.split(module)

    @jax.jit
    def features(params, films):
        return nnx.merge(definition, params).features(films).mean((1, 2))

    return features, flatten_dict(nnx.to_pure_dict(state))


def assert_equal_features(path, network, channels):
    films = np.random.default_rng(1).random((2, SIZE, SIZE, channels), np.float32)
    expected = np.asarray(network(2 * films - 1, training=False)).mean((1, 2))
    features, shapes = our_features(channels)
    arrays = read_keras(path).arrays
    head = {p: np.zeros(leaf.shape, "f4") for p, leaf in shapes.items() if p[0] == "main_head"}
    found = features(unflatten_dict(arrays | head), films)
    assert np.abs(expected).max() > 0
    # The tolerance of the comparison in tests/nn: sums of float32 in another order.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "classes, nested, channels",
    [(0, False, 3), (1, False, 1), (1, True, 3), (1000, False, 3)],
)
def test_features_equal_those_of_keras_from_each_format(tmp_path, classes, nested, channels):
    network = backbone(channels)
    model = with_head(network, classes, nested) if classes else network
    for name in ("w.weights.h5", "w.keras", "w.h5"):
        path = tmp_path / name
        model.save_weights(path) if name == "w.weights.h5" else model.save(path)
        assert_equal_features(path, network, channels)
        path.unlink()


@pytest.mark.slow
def test_features_equal_those_of_keras_from_a_file_without_a_classifier(tmp_path):
    network = backbone(3)
    network.save_weights(tmp_path / "w.weights.h5")
    assert_equal_features(tmp_path / "w.weights.h5", network, 3)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason="the file is not part of the repository")
def test_features_equal_those_of_keras_from_a_file_in_the_published_layout(tmp_path):
    path = tmp_path / "real.h5"
    shutil.copy(REAL, path)
    network = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
    )
    network.load_weights(path)
    assert_equal_features(path, network, 3)
