"""Inception-v3 has the shapes and parameters of the published network, and Keras's answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from pneumojax.nn import pools
from pneumojax.nn.inception_v3 import InceptionV3, grids
from pneumojax.weights.keras_files import read_keras
from tests.weights.keras_writer import write_keras


def built(**options):
    module = nnx.eval_shape(
        lambda: InceptionV3(**{"image_size": 299, "classes": 1000} | options, rngs=nnx.Rngs(0))
    )
    definition, state = nnx.split(module)
    return definition, nnx.to_pure_dict(state)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_each_stage_has_as_many_parameters_as_the_published_network():
    _, shapes = built()
    assert count(shapes) == 23_851_784
    assert count(shapes["main_head"]) == 2_049_000
    stems = [count(shapes[f"stem{i}"]) for i in range(1, 6)]
    assert stems == [960, 9_312, 18_624, 5_360, 138_816]
    assert sum(count(module) for module in shapes["modules"].values()) == 21_629_712


@pytest.mark.parametrize("size, sides", [(299, (35, 17, 8)), (150, (16, 7, 3)), (75, (7, 3, 1))])
def test_grids_are_those_of_the_network(size, sides):
    definition, shapes = built(image_size=size)
    maps = jax.eval_shape(
        lambda params, films: nnx.merge(definition, params).stages(films),
        shapes,
        jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32),
    )
    found = [leaf.shape[1] for leaf in maps]
    assert found == [sides[0]] * 4 + [sides[1]] * 5 + [sides[2]] * 3
    assert grids(size) == sides
    channels = [leaf.shape[3] for leaf in maps]
    assert channels == [192, 256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048]


@pytest.mark.parametrize(
    ("modules", "parameters", "modules_left"),
    [
        ({"widths17": (), "modules8": 0}, 993_345, 3),  # Keras's up to mixed2, and a dense layer
        ({"widths17": (128,), "modules8": 0}, 0, 5),
    ],
)
def test_a_network_ends_at_the_last_grid_that_has_modules(modules, parameters, modules_left):
    _, shapes = built(classes=1, **modules)
    assert len(shapes["modules"]) == modules_left
    if parameters:
        assert count(shapes) == parameters


def test_an_auxiliary_head_without_its_grid_is_refused():
    with pytest.raises(ValueError, match="heads has 'auxiliary', which needs modules on"):
        built(widths17=(), modules8=0, heads=("main", "auxiliary"))


@pytest.mark.parametrize("size, pool, window", [(299, 5, 5), (150, 5, 1), (75, 3, 1)])
def test_the_auxiliary_head_shrinks_with_its_grid(size, pool, window):
    definition, shapes = built(image_size=size, classes=1, heads=("main", "auxiliary"))
    head = nnx.merge(definition, shapes).auxiliary_head
    assert (head.pool, head.window) == (pool, window)
    logits = jax.eval_shape(
        lambda params, films: nnx.merge(definition, params)(films),
        shapes,
        jax.ShapeDtypeStruct((2, size, size, 1), jnp.float32),
    )
    assert {name: leaf.shape for name, leaf in logits.items()} == {"main": (2,), "auxiliary": (2,)}


def test_an_average_pool_counts_padding_only_on_request():
    ones = jnp.ones((1, 4, 5, 1))
    same = pools.average_pool(ones, (3, 3), (1, 1), "SAME")
    np.testing.assert_allclose(same, 1, rtol=1e-6)
    counted = pools.average_pool(ones, (3, 3), (1, 1), "SAME", count_padding=True)
    np.testing.assert_allclose(counted[0, 0, :, 0], np.array([4, 6, 6, 6, 4]) / 9, rtol=1e-6)


@pytest.mark.parametrize(
    "options, told",
    [
        ({"image_size": 74}, "^image_size is 74"),
        ({"heads": ("auxiliary",)}, "^heads is"),
        ({"normalise": "imagenet"}, "^normalise is 'imagenet'"),
    ],
)
def test_a_refusal_begins_with_the_argument(options, told):
    with pytest.raises(ValueError, match=told):
        built(**options)


def drawn(shapes, seed=0):
    """Random weights that keep activations of one size, and random running statistics."""
    rng = np.random.default_rng(seed)
    values = {}
    for place, leaf in flatten_dict(shapes).items():
        value = rng.normal(size=leaf.shape)
        if place[-1] == "var":
            value = 0.5 + np.abs(value)
        elif place[-1] == "kernel":
            value *= np.sqrt(2 / np.prod(leaf.shape[:-1]))
        else:
            value *= 0.1
        values[place] = value.astype(np.float32)
    return values


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of Keras, on saving
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    ("suffix", "size"),
    [(".keras", 299), (".keras", 150), (".keras", 75), (".weights.h5", 75), (".h5", 75)],
)
def test_keras_and_we_answer_alike_and_arrays_come_back_unchanged(tmp_path, size, suffix):
    """Keras reads a file with our arrays, and we read them back from it."""
    import keras

    definition, shapes = built(image_size=size, classes=7)
    arrays = drawn(shapes)
    path = tmp_path / f"network{suffix}"
    write_keras(arrays, path, size)
    back = read_keras(path)
    assert back.arrays.keys() == arrays.keys()
    for place, value in arrays.items():
        np.testing.assert_array_equal(back.arrays[place], value)
    if suffix != ".keras":
        return
    model = keras.saving.load_model(path, compile=False)
    films = np.random.default_rng(1).random((2, size, size, 3)).astype(np.float32)
    mixed = [model.get_layer(f"mixed{i}").output for i in range(11)]
    theirs = keras.Model(model.input, [*mixed, model.output])(2 * films - 1, training=False)

    @jax.jit
    def ours(params, films):
        module = nnx.merge(definition, params)
        return [*module.stages(films)[1:], module(films)["main"]]

    found = ours(unflatten_dict(arrays), films)
    for mine, yours in zip(found, theirs, strict=True):
        yours = np.asarray(yours)
        np.testing.assert_allclose(mine, yours, atol=1e-4 * np.abs(yours).max())
