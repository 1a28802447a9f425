"""Grad-CAM maps of a small network, and the pictures made of them."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pneumojax.configs import base
from pneumojax.disclaimer import DISCLAIMER
from pneumojax.evaluation.audits.explanations import alike, cascade, randomisation_check
from pneumojax.inference.gradcam import make_explainer
from pneumojax.inference.network import make_network
from pneumojax.inference.overlay import Tile, captioned, colour_scale, overlay, sheet
from pneumojax.sharding import make_mesh, replicated

SIDE = 48
RNG = np.random.default_rng([0])
FILMS = RNG.integers(0, 256, (4, SIDE, SIDE, 1), dtype=np.uint8)


def small(heads=("auxiliary",)):
    """A network of two narrow modules, and parameters for it."""
    config = base.get_config()
    config.data.image_size = SIDE
    config.model.stem = (4, 4, 8)
    config.model.modules = ((4, 4, 8, 2, 4, 4), (4, 4, 8, 2, 4, 4))
    config.model.heads = heads
    network = make_network(config)
    rng = np.random.default_rng([1])
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape), leaf.dtype),
        network.abstract_params,
    )
    return network, jax.device_put(params, replicated(make_mesh()))  # placed like those of a run


@pytest.fixture(scope="module")
def explained():
    """Network, parameters, compiled explainer, and its logits and maps of `FILMS`."""
    network, params = small()
    explain = jax.jit(make_explainer(network, make_mesh()))
    return network, params, explain, *explain(params, FILMS)


def by_definition(network, params, film, head):
    """Grad-CAM of one film (h, w, 1), without batching and film by film."""
    module = network.module(params)
    features = module.features(film[None].astype(np.float32) / 255)
    gradient = jax.grad(lambda x: module.logits(x)[head][0])(features)[0]
    evidence = np.maximum((np.asarray(features[0]) * np.mean(gradient, axis=(0, 1))).sum(-1), 0)
    return evidence / evidence.max() if evidence.max() > 0 else evidence


@pytest.mark.slow
@pytest.mark.parametrize("heads", [("auxiliary",), ("main", "auxiliary")])
def test_a_map_is_that_of_the_definition_for_the_head_that_predicts(heads, explained):
    network, params, explain, logits, maps = explained
    if heads != ("auxiliary",):
        network, params = small(heads)
        logits, maps = jax.jit(make_explainer(network, make_mesh()))(params, FILMS)
    for film, logit, enlarged in list(zip(FILMS, logits, maps, strict=True))[:2]:
        expected = by_definition(network, params, film, heads[0])
        expected = jax.image.resize(expected, (SIDE, SIDE), "linear")
        np.testing.assert_allclose(enlarged, expected, atol=1e-5)  # sums are in another order
        images = film[None].astype(np.float32) / 255
        assert float(network.logits(params, images)[heads[0]][0]) == pytest.approx(
            float(logit), rel=1e-5, abs=1e-5
        )


def test_maps_lie_between_none_and_all(explained):
    maps = np.asarray(explained[-1])
    assert maps.shape == (4, SIDE, SIDE) and maps.min() >= 0 and maps.max() <= 1
    assert maps.max() > 0.5


def test_a_film_is_explained_alike_whatever_lies_beside_it(explained):
    _, params, explain, _, maps = explained
    other = FILMS[[2, 1, 0, 3]]
    np.testing.assert_array_equal(explain(params, other)[1][0], maps[2])


def test_where_nothing_speaks_for_pneumonia_the_map_is_empty(explained):
    _, params, explain, *_ = explained
    last = params["auxiliary_head"]["classifier"]["logit"]
    silent = jax.tree.map(jnp.zeros_like, last)
    head = params["auxiliary_head"]
    head = head | {"classifier": head["classifier"] | {"logit": silent}}
    assert not np.any(explain(params | {"auxiliary_head": head}, FILMS)[1])


def test_shuffling_goes_from_the_heads_to_the_stem_and_keeps_every_value(explained):
    params = explained[1]
    stages = list(cascade(params, seed=0))
    assert [name for name, _ in stages] == ["heads", "and module 2", "and module 1", "and stem"]
    changed = [
        {
            jax.tree_util.keystr(path[:1])
            for (path, a), b in zip(
                jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(tree), strict=True
            )
            if not np.array_equal(a, b)
        }
        for _, tree in stages
    ]
    assert changed[0] == {"['auxiliary_head']"}
    assert changed[1] == changed[2] == changed[0] | {"['modules']"}
    assert changed[3] == changed[2] | {"['stem1']", "['stem2']", "['stem3']"}
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(stages[-1][1]), strict=True):
        np.testing.assert_array_equal(np.sort(a, axis=None), np.sort(b, axis=None))


def test_the_check_tells_maps_that_change_from_maps_that_do_not(explained):
    _, params, explain, *_ = explained
    films = np.tile(FILMS, (2, 1, 1, 1))

    def of_eight(params, films):
        both = [explain(params, films[i : i + 4]) for i in (0, 4)]
        return tuple(np.concatenate(parts) for parts in zip(*both, strict=True))

    result, maps = randomisation_check(of_eight, params, films)
    assert len(maps) == 1 + len(result.stages)
    assert result.passed and abs(result.stages[-1].median) < 0.5
    deaf = randomisation_check(lambda params, films: (None, films[..., 0] / 255), params, films)[0]
    assert deaf.passed is False and deaf.stages[-1].median == pytest.approx(1)


def explains_as(trained, shuffled):
    """An explainer that answers with some maps at its first call and with others after it."""
    answers = iter([trained])
    return lambda params, films: (None, next(answers, shuffled))


def test_constant_maps_are_no_evidence_that_maps_depend_on_the_weights(explained):
    params = explained[1]
    films = np.repeat(FILMS[:1], 12, axis=0)
    ramps = np.tile(np.arange(SIDE * SIDE, dtype=np.float32).reshape(1, SIDE, SIDE), (12, 1, 1))
    empty = np.zeros_like(ramps)
    for trained, shuffled, constant, vanished in (
        (empty, empty, 12, 0),
        (empty, ramps, 12, 0),
        (ramps, empty, 0, 12),
    ):
        result, _ = randomisation_check(explains_as(trained, shuffled), params, films)
        last = result.stages[-1]
        assert result.passed is None and np.isnan(last.median) and last.quartiles is None
        assert (result.constant, last.vanished, last.compared) == (constant, vanished, 0)
        text = " ".join(result.section().text)
        assert "cannot say whether the maps depend" in text and "They depend" not in text


def test_the_correlation_is_that_of_the_films_with_a_map_on_both_sides(explained):
    params = explained[1]
    films = np.repeat(FILMS[:1], 12, axis=0)
    ramps = np.tile(np.arange(SIDE * SIDE, dtype=np.float32).reshape(1, SIDE, SIDE), (12, 1, 1))
    trained, shuffled = ramps.copy(), ramps.copy()
    trained[:1], shuffled[9:] = 0, 0
    result, _ = randomisation_check(explains_as(trained, shuffled), params, films)
    last = result.stages[-1]
    assert (result.constant, last.vanished, last.compared) == (1, 3, 8)
    assert result.passed is False and last.median == pytest.approx(1)
    shuffled[8:] = 0
    result, _ = randomisation_check(explains_as(trained, shuffled), params, films)
    assert result.passed is None and result.stages[-1].compared == 7


def test_a_constant_map_has_no_rank_correlation():
    ramp = np.arange(64.0).reshape(8, 8)
    assert alike(ramp, ramp**3) == pytest.approx(1)
    assert alike(ramp, -ramp) == pytest.approx(-1)
    assert alike(ramp, np.zeros((8, 8))) is alike(np.zeros((8, 8)), ramp) is None


def test_an_overlay_has_the_films_size_and_leaves_it_alone_where_the_map_is_empty():
    film = RNG.integers(0, 256, (60, 90), dtype=np.uint8)
    evidence = np.zeros((SIDE, SIDE), np.float32)
    evidence[:10, :10] = 1
    picture = np.asarray(overlay(film, evidence))
    assert picture.shape == (60, 90, 3)
    np.testing.assert_array_equal(picture[30:, 40:], np.repeat(film[30:, 40:, None], 3, axis=2))
    corner = picture[:8, :10].astype(int)
    assert (corner[..., 0] > corner[..., 2]).all()  # the map's colours have more red than blue


def test_the_scale_rises_from_the_bare_film_to_the_colour_of_the_strongest_place():
    scale = np.asarray(colour_scale(50, 4)).astype(int)
    strongest = np.asarray(overlay(np.full((4, 4), 128, np.uint8), np.ones((4, 4), np.float32)))
    np.testing.assert_array_equal(scale[:, 0], 128)
    np.testing.assert_array_equal(scale[:, -1], strongest[:, -1])
    assert scale[0, -1, 0] - scale[0, -1, 2] > 50  # yellow


def test_a_captioned_picture_has_its_lines_the_scale_and_the_disclaimer_below():
    tile = Tile(Image.new("RGB", (60, 40)), ("a title", "a file"))
    with Image.open(io.BytesIO(captioned(tile))) as picture:
        pixels = np.asarray(picture).astype(int)
    assert pixels.shape[1] == 320 and (pixels[10:200, 10:310] == 0).all()
    scale = np.asarray(colour_scale(96, 10)).astype(int)
    found = np.lib.stride_tricks.sliding_window_view(pixels, scale.shape)
    assert (found == scale).all(axis=(3, 4, 5)).any()
    assert all((pixels[at : at + 18] < 128).any() for at in (212, 230, 250, 270))


def test_a_sheet_holds_every_tile_and_no_line_leaves_its_tile():
    tall = Image.fromarray(np.full((300, 100), 200, np.uint8))
    lines = ("a name that is far too long for its tile.jpeg \udcff", "0.931")
    data = sheet([Tile(tall, lines)] * 5, columns=3, side=120, synthetic=True)
    with Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture.convert("L")).astype(int)
        assert picture.width == 3 * 130 + 10
    gaps = [pixels[:, 130 * i : 130 * i + 8] for i in range(4)]
    assert all((gap[:-58] == 255).all() for gap in gaps)  # the last three lines fill the width
    assert (pixels[-22:] < 255).any() and DISCLAIMER
