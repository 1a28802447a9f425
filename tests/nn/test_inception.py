"""Shapes, parameter counts and options of the small Inception network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pneumojax.nn.inception import Inception, count_parameters
from pneumojax.nn.layers import dropout

SMALL = {"image_size": 32, "stem": (4, 4, 8), "modules": ((4, 4, 8, 2, 4, 4),)}


def small_network(**options):
    """A narrow network with values drawn by NumPy, which needs no compilation."""
    module = nnx.eval_shape(lambda: Inception(**SMALL | options, rngs=nnx.Rngs(0)))
    definition, shapes = nnx.split(module)
    rng = np.random.default_rng(0)
    return nnx.merge(
        definition,
        jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(leaf.dtype), shapes),
    )


def shapes_of(**options):
    module = nnx.eval_shape(lambda: Inception(image_size=150, rngs=nnx.Rngs(0), **options))
    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def test_parameters_of_each_block_are_those_of_the_published_network():
    params = shapes_of()
    counts = {name: count_parameters(part) for name, part in params.items() if name != "modules"}
    assert counts == {
        "stem1": 896,
        "stem2": 9_248,
        "stem3": 18_496,
        "auxiliary_head": 20_544 + 991_360 + 129,
    }
    assert [count_parameters(module) for module in params["modules"].values()] == [33_464, 102_160]
    assert count_parameters(params) == 1_176_297


def test_both_heads_and_one_channel_change_the_count_as_they_should():
    both = shapes_of(heads=("main", "auxiliary"))
    assert count_parameters(both["main_head"]) == 320 * 128 + 128 + 129
    assert count_parameters(both) == 1_217_514
    assert count_parameters(shapes_of(channels=1)) == 1_176_297 - 2 * 9 * 32


def test_auxiliary_heads_sit_behind_the_modules_that_are_named():
    modules = ((4, 4, 8, 2, 4, 4), (8, 4, 8, 2, 4, 4))
    params = nnx.to_pure_dict(
        nnx.state(
            small_network(
                image_size=64, modules=modules, heads=("main", "auxiliary"), auxiliary_after=(0, -1)
            ),
            nnx.Param,
        )
    )
    narrow = [params[f"{name}_head"]["narrow"]["kernel"] for name in ("auxiliary", "auxiliary2")]
    assert [kernel.shape for kernel in narrow] == [(1, 1, 20, 64), (1, 1, 24, 64)]


@pytest.mark.slow
def test_a_module_behind_an_auxiliary_head_changes_the_main_head_alone():
    modules = ((4, 4, 8, 2, 4, 4), (8, 4, 8, 2, 4, 4))
    network = small_network(
        image_size=40, modules=modules, heads=("main", "auxiliary"), auxiliary_after=(0,)
    )
    films = np.random.default_rng(0).random((2, 40, 40, 1), np.float32)
    before = network(films)
    network.modules[1].branch1.bias[...] += 1.0
    after = network(films)
    assert np.array_equal(before["auxiliary"], after["auxiliary"])
    assert not np.array_equal(before["main"], after["main"])
    assert set(network.logits(network.features(films))) == {"main"}


def test_a_network_of_a_stem_alone_has_its_head_behind_it():
    network = small_network(modules=())
    films = np.zeros((1, 32, 32, 1), np.float32)
    assert network.features(films).shape[-1] == 8
    assert network(films)["auxiliary"].shape == (1,)


@pytest.mark.parametrize("place", [1, 7, -2])
def test_a_module_that_does_not_exist_is_refused_with_a_list_of_those_that_do(place):
    with pytest.raises(ValueError, match="the modules are 0 to 0, and -1 is the last"):
        small_network(heads=("main", "auxiliary"), auxiliary_after=(place,))


def test_an_auxiliary_head_that_predicts_sits_behind_the_last_module():
    with pytest.raises(ValueError, match="^auxiliary_after is .0,.: without a main"):
        shapes_of(heads=("auxiliary",), auxiliary_after=(0,))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_activations_let_through_what_a_relu_stops(activation):
    films = np.zeros((1, 32, 32, 1), np.float32)
    features = [small_network(activation=name).features(films) for name in ("relu", activation)]
    assert features[0].min() == 0
    assert features[1].min() < 0
    with pytest.raises(ValueError, match="^activation is 'tanh'"):
        shapes_of(activation="tanh")


def test_a_grey_film_is_repeated_where_three_channels_are_taken():
    network = jax.jit(small_network())
    grey = np.random.default_rng(0).random((2, 32, 32, 1), np.float32)
    repeated = network(np.repeat(grey, 3, axis=-1))["auxiliary"]
    assert np.array_equal(network(grey)["auxiliary"], repeated)


@pytest.mark.parametrize("size", [27, 64, 75, 150])
def test_flattened_width_follows_from_the_image_size(size):
    network = small_network(image_size=size)
    assert jax.eval_shape(network, jnp.ones((3, size, size, 1)))["auxiliary"].shape == (3,)


def test_films_too_small_for_the_auxiliary_head_are_refused_by_argument():
    with pytest.raises(ValueError, match="^image_size is 26"):
        Inception(image_size=26, rngs=nnx.Rngs(0))


def test_an_unknown_head_is_refused_by_argument():
    with pytest.raises(ValueError, match="^heads is"):
        Inception(image_size=64, heads=("auxilary",), rngs=nnx.Rngs(0))


def test_bfloat16_computes_narrow_and_answers_wide():
    network, wide = small_network(dtype=jnp.bfloat16), small_network()
    images = np.random.default_rng(0).random((8, 32, 32, 1), np.float32)
    assert jax.eval_shape(network.features, images).dtype == jnp.bfloat16
    logits = jax.jit(network)(images)["auxiliary"]
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(network, nnx.Param))} == {
        jnp.dtype("float32")
    }
    # bfloat16 keeps 8 bits; nine layers of rounding stay within a few per cent of the spread.
    expected = jax.jit(wide)(images)["auxiliary"]
    assert np.max(np.abs(logits - expected)) < 0.05 * max(1.0, np.max(np.abs(expected)))


@pytest.mark.slow
def test_dropout_differs_between_heads_films_and_keys_and_is_off_without():
    network = jax.jit(small_network(heads=("main", "auxiliary")))
    images = jnp.ones((4, 32, 32, 1))
    first, second = (network(images, jax.random.split(jax.random.key(s), 4)) for s in (1, 2))
    assert not np.array_equal(first["main"], second["main"])
    assert np.ptp(first["auxiliary"]) > 1e-3  # equal films, unequal masks
    assert np.ptp(network(images)["auxiliary"]) < 1e-6  # rounding of equal films


def test_dropout_of_a_film_does_not_depend_on_the_films_beside_it():
    x, keys = jnp.ones((6, 128)), jax.random.split(jax.random.key(0), 6)
    dropped = dropout(x, 0.25, keys)
    assert np.array_equal(dropped[4:], dropout(x[4:], 0.25, keys[4:]))
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.75)}
    assert 0.15 < np.mean(dropped == 0) < 0.35  # 768 draws: five standard deviations
    assert dropout(x, 0.25, None) is x
