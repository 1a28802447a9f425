"""Winograd convolution for CPUs: fewer multiplications than the direct convolution.

Winograd's minimal filtering F(m, r) computes m outputs of a filter with r taps from m + r - 1
products (Lavin & Gray 2015, arXiv 1509.09308, section 4). A film is cut into tiles of m x m
outputs. Small constant matrices transform tiles and kernel along both axes, matrix products over
the channels follow, and another small matrix transforms the products into outputs. A 3x3 kernel
takes 36 products for 16 outputs of 9 terms each: a quarter of the work. In float32 this costs a
digit or two of precision: results are within 3e-5 of the largest value.
"""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pneumojax.nn.chunked import map_chunks, sum_chunks

Pair = tuple[int, int]
# Outputs of a tile for each number of taps. More outputs need fewer products, but larger transforms
# and more rounding: with seven taps the error is 2.1e-5 of the largest value for six outputs, and
# 1.1e-5 for four.
OUTPUTS = {1: 1, 3: 4, 5: 4, 7: 6}
# Interpolation points. A point and the negative of its reciprocal round less than a point and its
# negative. The last two pairs were chosen since they round least for six outputs of seven taps.
_POINTS = ["0", "1", "-1", "2", "-1/2", "-2", "1/2", "-4/3", "3/4", "5/4", "-4/5"]
FEWEST_CHANNELS = 32
FEWEST_TILES = 64  # of all films of a batch
# Size of the transformed tiles of one chunk of films. With smaller chunks XLA computes a kernel's
# gradient on one core, and at 2 MB the loops alone are a sixth of the instructions of a step of
# Inception-v3.
BYTES_AT_ONCE = 16 << 20


class Matrices(NamedTuple):
    """The transforms `tile` (p, p), `kernel` (p, taps) and `outputs` (m, p), see `matrices`."""

    tile: np.ndarray
    kernel: np.ndarray
    outputs: np.ndarray

    @property
    def output_gradients(self) -> np.ndarray:
        """The transform of the outputs' gradients, (p, m)."""
        return self.outputs.T


@functools.cache
def matrices(taps: int) -> Matrices:
    """The transforms for a number of taps, by the Toom-Cook construction.

    The m = `OUTPUTS[taps]` values of the correlation of x (p,) with w (taps,), p = m + taps - 1,
    are `outputs @ ((kernel @ w) * (tile @ x))`. Each of the p products is the value of two
    polynomials at one point; the last point is infinity.
    """
    count = OUTPUTS[taps]
    points = [Fraction(point) for point in _POINTS[: count + taps - 2]]
    size = len(points) + 1
    tile, kernel, outputs = (
        np.zeros(shape) for shape in ((size, size), (size, taps), (count, size))
    )
    for i, point in enumerate(points):
        others = points[:i] + points[i + 1 :]
        share = math.prod((point - other for other in others), start=Fraction(1))
        tile[i, :-1] = _polynomial(others)
        kernel[i] = [point**power / share for power in range(taps)]
        outputs[:, i] = [point**power for power in range(count)]
    tile[-1] = _polynomial(points)
    kernel[-1, -1] = outputs[-1, -1] = 1
    return Matrices(tile, kernel, outputs)


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of all (x - root), beginning with the constant."""
    zero, found = Fraction(0), [Fraction(1)]
    for root in roots:
        found = [a - root * b for a, b in zip([zero, *found], [*found, zero], strict=True)]
    return found


def pays(x: Array, kernel: Array | jax.ShapeDtypeStruct, pads: Sequence[Pair]) -> bool:
    """Whether a convolution of stride 1 and its gradient are faster here than directly.

    They are not for narrow layers, nor for few tiles, where transforming the kernel takes longer
    than using it. Rounding rules out types below float32, and seven taps along one side with more
    than one along the other, whose errors multiply.
    """
    *window, into, features = kernel.shape
    return (
        window != [1, 1]
        and all(taps in OUTPUTS for taps in window)
        and (1 in window or max(window) < 7)
        and min(into, features) >= FEWEST_CHANNELS
        and len(x) * math.prod(_tile_counts(_sides(x, pads, window), window)) >= FEWEST_TILES
        and jnp.finfo(x.dtype).bits >= 32
    )


def convolution(x: Array, kernel: Array, pads: Sequence[Pair]) -> Array:
    """x (films, h, w, in) and kernel (rows, columns, in, out) -> (films, h', w', out)."""
    *window, into, features = kernel.shape
    sides = _sides(x, pads, window)
    counts = _tile_counts(sides, window)
    both = [matrices(taps) for taps in window]
    weights = _transformed([one.kernel for one in both], kernel)

    def convolve(films: Array) -> Array:
        tiles = _tiles("tile", films, (pads[0][0], pads[1][0]), counts, window)
        products = lax.dot_general(tiles, weights, (((3,), (2,)), ((0, 1), (0, 1))))
        y = _transformed([one.outputs for one in both], products)
        y = y.reshape(*y.shape[:2], len(films), *counts, features).transpose(2, 3, 0, 4, 1, 5)
        tall, wide = (n * OUTPUTS[taps] for n, taps in zip(counts, window, strict=True))
        return y.reshape(len(films), tall, wide, features)[:, : sides[0], : sides[1]]

    at_once = _films_at_once(counts, window, max(into, features), x.dtype)
    return map_chunks(convolve, x, at_once)


def kernel_gradient(x: Array, gradient: Array, window: Pair, pads: Sequence[Pair]) -> Array:
    """The kernel's gradient (rows, columns, in, out) from the output's (films, h', w', out)."""
    counts = _tile_counts(gradient.shape[1:3], window)
    both = [matrices(taps) for taps in window]

    def product(films: Array, gradients: Array) -> Array:
        tiles = _tiles("tile", films, (pads[0][0], pads[1][0]), counts, window)
        of_outputs = _tiles("output_gradients", gradients, (0, 0), counts, window)
        return lax.dot_general(tiles, of_outputs, (((2,), (2,)), ((0, 1), (0, 1))))

    widest = max(x.shape[-1], gradient.shape[-1])
    at_once = _films_at_once(counts, window, widest, x.dtype)
    products = sum_chunks(product, (x, gradient), at_once)
    return _transformed([one.kernel.T for one in both], products)


def _transformed(by: Sequence[np.ndarray], parts: Array) -> Array:
    """Applies a matrix along rows and one along columns of parts (rows, columns, ...).

    Their outer product makes it a single matrix product.
    """
    both = np.einsum("ai,bj->abij", *by)
    return jnp.tensordot(both.astype(parts.dtype), parts, axes=2)


def _tiles(which: str, x: Array, before: Pair, counts: Pair, window: Sequence[int]) -> Array:
    """Cuts x (films, h, w, channels) into tiles, transformed along both axes by `which` matrices.

    There are `before` rows and columns of zeros before x. The result is (products of rows, products
    of columns, tiles of all films, channels).
    """
    fills = [
        (first, (count - 1) * OUTPUTS[taps] + _matrix(which, taps).shape[1] - first - side)
        for first, count, taps, side in zip(before, counts, window, x.shape[1:3], strict=True)
    ]
    # The barrier keeps XLA from fusing the padding into the transform, where it would cost a branch
    # for each element.
    zero = np.zeros((), x.dtype)
    config = [(0, 0, 0), *((*fill, 0) for fill in fills), (0, 0, 0)]
    x = lax.optimization_barrier(lax.pad(x, zero, config))
    x = _transformed_along(0, which, window[0], counts[0], x)
    x = _transformed_along(1, which, window[1], counts[1], x)
    return x.reshape(*x.shape[:2], -1, x.shape[-1])


@partial(jax.jit, static_argnums=(0, 1, 2, 3))  # traced once for each shape
def _transformed_along(at: int, which: str, taps: int, count: int, x: Array) -> Array:
    """Transforms the `count` tiles along one side of x; the products become the new axis `at`.

    `at` is 0 for rows and 1 for columns, which come second. The tiles overlap, so they are not cut
    out for a single product: that would write most of a film twice.
    """
    matrix, stride = _matrix(which, taps), OUTPUTS[taps]
    axis = 1 + 2 * at  # 1 for rows; 3 for columns, which the rows' new axis has moved
    last = (count - 1) * stride + 1
    # For each position in a tile, the values of all tiles there.
    parts = [lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(matrix.shape[1])]
    if taps == 1:  # the matrices are all 1
        return lax.expand_dims(parts[0], (at,))
    shape = list(parts[0].shape)
    shape.insert(at, len(matrix))
    others = [place for place in range(len(shape)) if place != at]
    terms = [
        lax.mul(
            lax.broadcast_in_dim(part, shape, others),
            lax.broadcast_in_dim(column.astype(x.dtype), shape, (at,)),
        )
        for column, part in zip(matrix.T, parts, strict=True)
    ]
    # Zero terms are added too: stacking sums without them would be faster on one core, but XLA:CPU
    # stacks on one core only. The barrier keeps XLA from computing the sum anew at each use.
    return lax.optimization_barrier(functools.reduce(lax.add, terms))


def _matrix(which: str, taps: int) -> np.ndarray:
    return getattr(matrices(taps), which)


def _sides(x: Array | jax.ShapeDtypeStruct, pads: Sequence[Pair], window: Sequence[int]) -> Pair:
    tall, wide = (
        side + sum(pad) - taps + 1
        for side, pad, taps in zip(x.shape[1:3], pads, window, strict=True)
    )
    return tall, wide


def _tile_counts(sides: Sequence[int], window: Sequence[int]) -> Pair:
    tall, wide = (-(-side // OUTPUTS[taps]) for side, taps in zip(sides, window, strict=True))
    return tall, wide


def _films_at_once(counts: Pair, window: Sequence[int], features: int, dtype: np.dtype) -> int:
    """The number of films whose transformed tiles fill `BYTES_AT_ONCE`."""
    products = math.prod(OUTPUTS[taps] + taps - 1 for taps in window)
    return max(1, BYTES_AT_ONCE // (math.prod(counts) * products * features * dtype.itemsize))
