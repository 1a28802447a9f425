"""The Winograd convolution equals the direct one, and is used exactly where it pays."""

from itertools import cycle, repeat

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pneumojax.nn import ops, winograd
from pneumojax.nn.chunked import map_chunks, sum_chunks

WINDOWS = [(3, 3), (5, 5), (7, 7), (1, 7), (7, 1), (1, 3), (3, 1), (3, 5)]


def films(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def direct(x, kernel, padding):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=numbers)


def share_of_largest(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("taps", winograd.OUTPUTS)
def test_products_of_transformed_tiles_and_kernels_are_correlations(taps):
    tile, kernel, outputs = winograd.matrices(taps)
    count, size = outputs.shape
    assert (count, size) == (winograd.OUTPUTS[taps], winograd.OUTPUTS[taps] + taps - 1)
    x, w = films(size), films(taps, 1)
    found = outputs @ ((kernel @ w) * (tile @ x))
    assert found == pytest.approx(np.correlate(x, w, "valid"), abs=1e-13)


@pytest.mark.parametrize(
    "window, padding, side",
    [
        *zip(WINDOWS, cycle(["SAME", "VALID"]), repeat(12)),
        ((3, 3), "VALID", 12),
        ((3, 3), "SAME", 13),
    ],
)
def test_results_and_gradients_are_those_of_the_direct_convolution(window, padding, side):
    x, kernel = films((3, side, side + 2, 5)), films((*window, 5, 4), 1)
    with jax.enable_x64(True):
        pads = lax.padtype_to_pads(x.shape[1:3], window, (1, 1), padding)
        expected, transpose = jax.vjp(lambda x, k: direct(x, k, padding), x, kernel)
        found = winograd.convolution(jnp.asarray(x), jnp.asarray(kernel), pads)
        assert found.dtype == np.float64
        assert share_of_largest(found, expected) < 1e-12
        gradient = films(expected.shape, 2)
        found = winograd.kernel_gradient(jnp.asarray(x), jnp.asarray(gradient), window, pads)
        assert share_of_largest(found, transpose(jnp.asarray(gradient))[1]) < 1e-12


@pytest.mark.parametrize(
    "window, widths, bound",
    [
        ((3, 3), (96, 96), 2e-5),
        ((1, 7), (160, 192), 3e-5),
        ((5, 5), (48, 64), 2e-5),
        ((3, 5), (64, 64), 2e-5),
    ],
)
def test_in_float32_results_are_within_two_or_three_hundred_thousandths(window, widths, bound):
    x = films((2, 24, 24, widths[0]), dtype=np.float32)
    kernel = films((*window, *widths), 1, np.float32)
    pads = lax.padtype_to_pads((24, 24), window, (1, 1), "SAME")
    with jax.enable_x64(True):
        expected = np.asarray(direct(x.astype(float), kernel.astype(float), "SAME"))
    found = winograd.convolution(jnp.asarray(x), jnp.asarray(kernel), pads)
    assert found.dtype == np.float32
    # Over eight draws, seven taps were off by up to 2.1e-5; the direct convolution by up to 1e-6.
    assert share_of_largest(found, expected) < bound


def compiled(shape, kernel, dtype=jnp.float32, strides=(1, 1)):
    arguments = [jax.ShapeDtypeStruct(s, dtype) for s in (shape, kernel)]
    loss = jax.value_and_grad(lambda x, k: ops.convolution(x, k, strides).sum(), (0, 1))
    return jax.jit(loss).lower(*arguments).compile().as_text()


def test_where_it_pays_the_value_and_both_gradients_use_it():
    assert " convolution(" not in compiled((4, 16, 16, 32), (3, 3, 32, 32))


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (4, 16, 16, 31), "kernel": (3, 3, 31, 32)},
        {"shape": (4, 16, 16, 32), "kernel": (3, 3, 32, 31)},
        {"shape": (3, 16, 16, 32), "kernel": (3, 3, 32, 32)},
        {"shape": (4, 16, 16, 32), "kernel": (3, 3, 32, 32), "strides": (2, 2)},
        {"shape": (4, 16, 16, 32), "kernel": (1, 1, 32, 32)},
        {"shape": (4, 16, 16, 32), "kernel": (2, 2, 32, 32)},
        {"shape": (4, 24, 24, 32), "kernel": (3, 7, 32, 32)},
        {"shape": (4, 16, 16, 32), "kernel": (3, 3, 32, 32), "dtype": jnp.bfloat16},
    ],
    ids=["narrow in", "narrow out", "few tiles", "strides", "1x1", "even", "3x7", "bfloat16"],
)
def test_other_layers_are_convolved_directly(options, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("Winograd was used")

    monkeypatch.setattr(winograd, "convolution", refuse)
    monkeypatch.setattr(winograd, "kernel_gradient", refuse)
    compiled(**options)


@pytest.mark.parametrize("at_once", [1, 2, 4, 100])
def test_chunks_cover_all_films_and_are_no_larger_than_asked_for(at_once):
    seen = []
    x = jnp.arange(24.0).reshape(12, 2)

    def doubled(some):
        seen.append(len(some))
        return 2 * some

    assert np.array_equal(map_chunks(doubled, x, at_once), 2 * x)
    assert set(seen) == {min(at_once, 12)}
    total = sum_chunks(lambda a, b: (a * b).sum(0), (x, x), at_once)
    assert np.allclose(total, (x * x).sum(0))
