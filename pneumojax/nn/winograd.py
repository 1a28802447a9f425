"""Convolution in fewer multiplications than it has terms, for CPUs.

Winograd's minimal filtering, F(m, r): m outputs of r taps from m + r - 1 products (Lavin & Gray
2015, arXiv 1509.09308, section 4). A film is cut into tiles of m x m outputs; tiles, kernel and
outputs are transformed along either axis by small constant matrices, and between them stand matrix
products over channels. A 3x3 kernel takes 36 products for 16 outputs of 9 terms: a quarter of the
work. In float32 it costs a digit or two: results are within 3e-5 of the largest value.
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

from pneumojax.nn import chunked as films_at_once

Pair = tuple[int, int]
# Of a tile, by taps. More would be fewer products, but larger transforms, and round more: seven
# taps do to 2.1e-5 of the largest value, and with four outputs they would to 1.1e-5.
OUTPUTS = {1: 1, 3: 4, 5: 4, 7: 6}
# A point and the negative of its reciprocal, which rounds less than a point and its negative. Of
# all such pairs the last two round least with six outputs of seven taps.
_POINTS = ["0", "1", "-1", "2", "-1/2", "-2", "1/2", "-4/3", "3/4", "5/4", "-4/5"]
NARROW = 32  # channels
FEW_TILES = 64  # of all films
# Of transformed tiles. Products of fewer would be computed on one core, where they are kernels'
# gradients, and loops over 2 MB are a sixth of the instructions of Inception-v3's step.
BYTES_AT_ONCE = 16 << 20


class Matrices(NamedTuple):
    """`tile` (p, p), `kernel` (p, taps) and `outputs` (m, p), see `matrices`."""

    tile: np.ndarray
    kernel: np.ndarray
    outputs: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """`outputs` as their gradients go back, (p, m)."""
        return self.outputs.T


@functools.cache
def matrices(taps: int) -> Matrices:
    """Toom and Cook's construction.

    The m = `OUTPUTS[taps]` values of a correlation of x (p,) with w (taps,) are
    `outputs @ ((kernel @ w) * (tile @ x))`, p = m + taps - 1. Each product is that of two
    polynomials at a point, the last one's at infinity.
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
    """Coefficients of the product of all (x - root), the constant first."""
    nothing, found = Fraction(0), [Fraction(1)]
    for root in roots:
        found = [a - root * b for a, b in zip([nothing, *found], [*found, nothing], strict=True)]
    return found


def pays(x: Array, kernel: Array | jax.ShapeDtypeStruct, pads: Sequence[Pair]) -> bool:
    """Whether `convolution` of stride 1 and its gradient are quicker so than directly.

    Not for narrow layers, nor where transforming the kernel takes longer than its use on so few
    tiles, nor in less than float32, whose rounding would show, as that of seven taps along one
    side and more than one along the other would: it multiplies.
    """
    *window, into, features = kernel.shape
    return (
        window != [1, 1]
        and all(taps in OUTPUTS for taps in window)
        and (1 in window or max(window) < 7)
        and min(into, features) >= NARROW
        and len(x) * math.prod(_tile_counts(_sides(x, pads, window), window)) >= FEW_TILES
        and jnp.finfo(x.dtype).bits >= 32
    )


def convolution(x: Array, kernel: Array, pads: Sequence[Pair]) -> Array:
    """`x` (films, h, w, in) by `kernel` (rows, columns, in, out) -> (films, h', w', out)."""
    *window, into, features = kernel.shape
    sides = _sides(x, pads, window)
    counts = _tile_counts(sides, window)
    both = [matrices(taps) for taps in window]
    weights = _mixed([one.kernel for one in both], kernel)

    def of_a_few(films: Array) -> Array:
        tiles = _tiles("tile", films, (pads[0][0], pads[1][0]), counts, window)
        products = lax.dot_general(tiles, weights, (((3,), (2,)), ((0, 1), (0, 1))))
        y = _mixed([one.outputs for one in both], products)
        y = y.reshape(*y.shape[:2], len(films), *counts, features).transpose(2, 3, 0, 4, 1, 5)
        tall, wide = (n * OUTPUTS[taps] for n, taps in zip(counts, window, strict=True))
        return y.reshape(len(films), tall, wide, features)[:, : sides[0], : sides[1]]

    at_once = _films_at_once(counts, window, max(into, features), x.dtype)
    return films_at_once.mapped(of_a_few, x, at_once)


def kernel_gradient(x: Array, gradient: Array, window: Pair, pads: Sequence[Pair]) -> Array:
    """Of `convolution`: its output's gradient (films, h', w', out) -> (rows, columns, in, out)."""
    counts = _tile_counts(gradient.shape[1:3], window)
    both = [matrices(taps) for taps in window]

    def of_a_few(films: Array, gradients: Array) -> Array:
        tiles = _tiles("tile", films, (pads[0][0], pads[1][0]), counts, window)
        spread = _tiles("spread", gradients, (0, 0), counts, window)
        return lax.dot_general(tiles, spread, (((2,), (2,)), ((0, 1), (0, 1))))

    widest = max(x.shape[-1], gradient.shape[-1])
    at_once = _films_at_once(counts, window, widest, x.dtype)
    products = films_at_once.summed(of_a_few, (x, gradient), at_once)
    return _mixed([one.kernel.T for one in both], products)


def _mixed(by: Sequence[np.ndarray], parts: Array) -> Array:
    """`parts` (rows, columns, ...) by a matrix along each: one product, by that of both."""
    both = np.einsum("ai,bj->abij", *by)
    return jnp.tensordot(both.astype(parts.dtype), parts, axes=2)


def _tiles(which: str, x: Array, before: Pair, counts: Pair, window: Sequence[int]) -> Array:
    """Tiles of `x` (films, h, w, channels), filled with 0 around it, mixed both ways.

    Args:
        which: matrices of `Matrices`, "tile" or "spread".
        before: how many rows and columns of 0.

    Returns:
        (products of rows, products of columns, tiles of all films, channels).
    """
    fills = [
        (first, (count - 1) * OUTPUTS[taps] + _matrix(which, taps).shape[1] - first - side)
        for first, count, taps, side in zip(before, counts, window, x.shape[1:3], strict=True)
    ]
    # Apart from what follows, where a padding would be a branch at each element.
    zero = np.zeros((), x.dtype)
    config = [(0, 0, 0), *((*fill, 0) for fill in fills), (0, 0, 0)]
    x = lax.optimization_barrier(lax.pad(x, zero, config))
    x = _mixed_along(0, which, window[0], counts[0], x)
    x = _mixed_along(1, which, window[1], counts[1], x)
    return x.reshape(*x.shape[:2], -1, x.shape[-1])


@partial(jax.jit, static_argnums=(0, 1, 2, 3))  # so that equal ones are traced once
def _mixed_along(at: int, which: str, taps: int, count: int, x: Array) -> Array:
    """A matrix by the `count` tiles along rows, then along columns: new axes 0 and 1.

    Tiles overlap. To cut them out, for one product, would be to write most of a film twice.
    """
    matrix, stride = _matrix(which, taps), OUTPUTS[taps]
    axis = 1 + 2 * at  # the columns' is one further on, behind the new axis of rows
    last = (count - 1) * stride + 1
    # What each place of a tile holds, in all tiles.
    parts = [lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(matrix.shape[1])]
    if taps == 1:  # whose matrices are all 1
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
    # Of sums over all terms and not of the few that are not zero, stacked: those are quicker on
    # one core, but XLA:CPU computes them on one. And not computed again by what uses them.
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
    """How many films' tiles are `BYTES_AT_ONCE`."""
    products = math.prod(OUTPUTS[taps] + taps - 1 for taps in window)
    return max(1, BYTES_AT_ONCE // (math.prod(counts) * products * features * dtype.itemsize))
