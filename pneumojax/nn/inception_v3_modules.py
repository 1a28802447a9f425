"""What Inception-v3 is stacked of: modules for each grid, and the reductions between them.

Szegedy et al. 2015, arXiv 1512.00567; widths are those of Keras and torchvision. Numbers in names
are the grids at 299 pixels. A module is given what makes its convolutions, and says in
`out_features` how many channels it leaves.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jax import Array

from pneumojax.nn import pools
from pneumojax.nn.blocks import Conv, beside_a_pool, concatenated, side_by_side

MakeConv = Callable[..., Conv]
Pool = Callable[[Array], Array]


class Module35(nnx.Module):
    """1x1, 5x5, two 3x3, and a pool, side by side (figure 5): 224 + `pool_features` channels."""

    def __init__(self, in_features: int, pool_features: int, conv: MakeConv, pool: Pool):
        self.branch1 = conv(in_features, 64, (1, 1))
        self.branch5_narrow = conv(in_features, 48, (1, 1))
        self.branch5 = conv(48, 64, (5, 5))
        self.branch3_narrow = conv(in_features, 64, (1, 1))
        self.branch3_first = conv(64, 96, (3, 3))
        self.branch3_second = conv(96, 96, (3, 3))
        self.branch_pool = conv(in_features, pool_features, (1, 1))
        self.pool = pool
        self.out_features = 64 + 64 + 96 + pool_features

    def __call__(self, x: Array) -> Array:
        (branch1, branch5, branch3), pooled = beside_a_pool(
            (self.branch1, self.branch5_narrow, self.branch3_narrow), self.branch_pool, self.pool, x
        )
        others = concatenated(
            (self.branch5, branch5),
            (self.branch3_second, self.branch3_first(branch3)),
            behind=(self.branch_pool, pooled),
        )
        return jnp.concatenate([branch1, others], axis=-1)


class Reduction35(nnx.Module):
    """Halves the grid by two branches of convolutions and a max pool (figure 10)."""

    def __init__(self, in_features: int, conv: MakeConv):
        self.branch3 = conv(in_features, 384, (3, 3), stride=2, padding="VALID")
        self.double_narrow = conv(in_features, 64, (1, 1))
        self.double_first = conv(64, 96, (3, 3))
        self.double_second = conv(96, 96, (3, 3), stride=2, padding="VALID")
        self.out_features = 384 + 96 + in_features

    def __call__(self, x: Array) -> Array:
        double = self.double_first(self.double_narrow(x))
        convolved = concatenated((self.branch3, x), (self.double_second, double))
        return jnp.concatenate([convolved, pools.max_pool(x, (3, 3), (2, 2))], axis=-1)


class Module17(nnx.Module):
    """1x1, 7x7 once and twice as rows and columns of 7, and a pool (figure 6): 768 channels."""

    def __init__(self, in_features: int, width: int, conv: MakeConv, pool: Pool):
        self.branch1 = conv(in_features, 192, (1, 1))
        self.branch7_narrow = conv(in_features, width, (1, 1))
        self.branch7_row = conv(width, width, (1, 7))
        self.branch7_column = conv(width, 192, (7, 1))
        self.double_narrow = conv(in_features, width, (1, 1))
        self.double_column1 = conv(width, width, (7, 1))
        self.double_row1 = conv(width, width, (1, 7))
        self.double_column2 = conv(width, width, (7, 1))
        self.double_row2 = conv(width, 192, (1, 7))
        self.branch_pool = conv(in_features, 192, (1, 1))
        self.pool = pool
        self.out_features = 768

    def __call__(self, x: Array) -> Array:
        (branch1, branch7, double), pooled = beside_a_pool(
            (self.branch1, self.branch7_narrow, self.double_narrow), self.branch_pool, self.pool, x
        )
        branch7 = self.branch7_row(branch7)
        double = self.double_column2(self.double_row1(self.double_column1(double)))
        others = concatenated(
            (self.branch7_column, branch7),
            (self.double_row2, double),
            behind=(self.branch_pool, pooled),
        )
        return jnp.concatenate([branch1, others], axis=-1)


class Reduction17(nnx.Module):
    """Halves the grid by 3x3, by 7x7 and 3x3, and by a max pool."""

    def __init__(self, in_features: int, conv: MakeConv):
        self.branch3_narrow = conv(in_features, 192, (1, 1))
        self.branch3 = conv(192, 320, (3, 3), stride=2, padding="VALID")
        self.branch7_narrow = conv(in_features, 192, (1, 1))
        self.branch7_row = conv(192, 192, (1, 7))
        self.branch7_column = conv(192, 192, (7, 1))
        self.branch7 = conv(192, 192, (3, 3), stride=2, padding="VALID")
        self.out_features = 320 + 192 + in_features

    def __call__(self, x: Array) -> Array:
        branch3, branch7 = side_by_side((self.branch3_narrow, self.branch7_narrow), x)
        branch7 = self.branch7_column(self.branch7_row(branch7))
        convolved = concatenated((self.branch3, branch3), (self.branch7, branch7))
        return jnp.concatenate([convolved, pools.max_pool(x, (3, 3), (2, 2))], axis=-1)


class Module8(nnx.Module):
    """Branches that split into a row and a column of 3 at their end (figure 7): 2,048 channels."""

    def __init__(self, in_features: int, conv: MakeConv, pool: Pool):
        self.branch1 = conv(in_features, 320, (1, 1))
        self.branch3_narrow = conv(in_features, 384, (1, 1))
        self.branch3_row = conv(384, 384, (1, 3))
        self.branch3_column = conv(384, 384, (3, 1))
        self.double_narrow = conv(in_features, 448, (1, 1))
        self.double = conv(448, 384, (3, 3))
        self.double_row = conv(384, 384, (1, 3))
        self.double_column = conv(384, 384, (3, 1))
        self.branch_pool = conv(in_features, 192, (1, 1))
        self.pool = pool
        self.out_features = 2048

    def __call__(self, x: Array) -> Array:
        (branch1, branch3, double), pooled = beside_a_pool(
            (self.branch1, self.branch3_narrow, self.double_narrow), self.branch_pool, self.pool, x
        )
        double = self.double(double)
        others = concatenated(
            (self.branch3_row, branch3),
            (self.branch3_column, branch3),
            (self.double_row, double),
            (self.double_column, double),
            behind=(self.branch_pool, pooled),
        )
        return jnp.concatenate([branch1, others], axis=-1)
