"""Shapes, counts and switches of the seed's network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pneumojax.errors import UserError
from pneumojax.nn.blocks import Conv, concatenated, dropout, side_by_side
from pneumojax.nn.inception import Inception, count_parameters

SMALL = {"image_size": 32, "stem": (4, 4, 8), "modules": ((4, 4, 8, 2, 4, 4),)}


def small_network(**options):
    """A narrow network with values drawn by NumPy, which nothing has to be compiled for."""
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


def test_what_stands_behind_an_auxiliary_head_changes_it_not_and_the_main_head_it_does():
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
def test_a_module_that_is_not_there_is_told_with_those_that_are(place):
    with pytest.raises(UserError, match="the modules are 0 to 0, and -1 is the last"):
        small_network(heads=("main", "auxiliary"), auxiliary_after=(place,))


def test_an_auxiliary_head_that_predicts_sits_behind_the_last_module():
    with pytest.raises(UserError, match="config.model.auxiliary_after is .0,.: without a main"):
        shapes_of(heads=("auxiliary",), auxiliary_after=(0,))


@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_activations_let_through_what_a_relu_stops(activation):
    films = np.zeros((1, 32, 32, 1), np.float32)
    features = [small_network(activation=name).features(films) for name in ("relu", activation)]
    assert features[0].min() == 0
    assert features[1].min() < 0
    with pytest.raises(UserError, match="config.model.activation is 'tanh'"):
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


def test_films_too_small_for_the_auxiliary_head_are_refused_by_field():
    with pytest.raises(UserError, match="config.data.image_size is 26"):
        Inception(image_size=26, rngs=nnx.Rngs(0))


def test_unknown_head_is_refused_by_field():
    with pytest.raises(UserError, match="config.model.heads"):
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


def test_convolutions_side_by_side_give_what_each_gives_alone():
    rngs = nnx.Rngs(0)
    convs = [Conv(6, width, (1, 1), rngs=rngs) for width in (5, 3, 8)]
    rng = np.random.default_rng(0)
    for conv in convs:
        conv.bias[...] = rng.normal(size=conv.bias.shape).astype(np.float32)
    x = rng.normal(size=(2, 7, 9, 6)).astype(np.float32)
    for together, conv in zip(jax.jit(side_by_side)(convs, x), convs, strict=True):
        np.testing.assert_allclose(together, conv(x), rtol=1e-6, atol=1e-6)  # order of sums


def alike(widths, norm, training):
    """Layers of these widths with values of their own."""
    rngs, rng = nnx.Rngs(0), np.random.default_rng(0)
    convs = [Conv(6, width, (1, 1), norm=norm, rngs=rngs) for width in widths]
    for conv in convs:
        for _, leaf in nnx.iter_graph(conv):
            if isinstance(leaf, nnx.Variable) and leaf.ndim == 1:
                leaf[...] = rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        conv.set_attributes(
            nnx.BatchNorm, use_running_average=not training, raise_if_not_found=False
        )
    return convs


def results_and_gradients(convs, compute, x):
    """Of `compute(convs, x)`, concatenated; gradients of all arrays; and running statistics."""
    definition, arrays = nnx.split(convs)

    def result(arrays, x):
        convs = nnx.merge(definition, arrays)
        y = jnp.concatenate(compute(convs, x), axis=-1)
        return y, nnx.to_pure_dict(nnx.state(convs, nnx.BatchStat))

    y, pull, kept = jax.vjp(result, nnx.to_pure_dict(arrays), x, has_aux=True)
    return y, pull(np.random.default_rng(1).normal(size=y.shape).astype(np.float32)), kept


@pytest.mark.parametrize("norm, training", [("none", True), ("batch", True), ("batch", False)])
@pytest.mark.parametrize(
    "together",
    [side_by_side, lambda convs, x: [concatenated(*((conv, x) for conv in convs))]],
    ids=["side_by_side", "concatenated"],
)
def test_layers_computed_as_one_give_what_each_gives_alone(together, norm, training):
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 6)).astype(np.float32)
    convs = alike((5, 3, 8), norm, training)
    as_one, alone = (
        results_and_gradients(convs, compute, x)
        for compute in (together, lambda convs, x: [conv(x) for conv in convs])
    )
    # Orders of sums: of 126 places, and of the gradient of x over layers.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 2e-5, 2e-5), as_one, alone)
