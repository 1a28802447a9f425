"""The modules of Inception-v3 for each grid, the reductions between them, and its heads.

Szegedy et al. 2015, arXiv 1512.00567; the widths are those of Keras and torchvision. The numbers in
names, and the shapes in comments, are those at 299 pixels. Each module takes a function `conv` that
makes its convolutions, and gives its number of output channels in `out_features`.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jax import Array

from pneumojax.nn import pools
from pneumojax.nn.branches import BranchedModule
from pneumojax.nn.layers import AveragePool, Conv, MaxPool, dropout

MakeConv = Callable[..., Conv]


class Module35(BranchedModule):
    """1x1, 5x5, two 3x3, and a pool, side by side (figure 5): 224 + `pool_features` channels."""

    def __init__(self, in_features: int, pool_features: int, conv: MakeConv, pool: AveragePool):
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
        return self._concatenate(
            x,
            [self.branch1],  # (batch, 35, 35, 64)
            [self.branch5_narrow, self.branch5],  # (batch, 35, 35, 64)
            [self.branch3_narrow, self.branch3_first, self.branch3_second],  # (batch, 35, 35, 96)
            [self.pool, self.branch_pool],  # (batch, 35, 35, pool_features)
        )


class Reduction35(BranchedModule):
    """Halves the grid by two branches of convolutions and a max pool (figure 10)."""

    def __init__(self, in_features: int, conv: MakeConv):
        self.branch3 = conv(in_features, 384, (3, 3), stride=2, padding="VALID")
        self.double_narrow = conv(in_features, 64, (1, 1))
        self.double_first = conv(64, 96, (3, 3))
        self.double_second = conv(96, 96, (3, 3), stride=2, padding="VALID")
        self.out_features = 384 + 96 + in_features

    def __call__(self, x: Array) -> Array:
        return self._concatenate(
            x,
            [self.branch3],  # (batch, 17, 17, 384)
            [self.double_narrow, self.double_first, self.double_second],  # (batch, 17, 17, 96)
            [MaxPool()],  # (batch, 17, 17, in_features)
        )


class Module17(BranchedModule):
    """1x1, 7x7 once and twice as rows and columns of 7, and a pool (figure 6): 768 channels."""

    def __init__(self, in_features: int, width: int, conv: MakeConv, pool: AveragePool):
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
        return self._concatenate(
            x,
            [self.branch1],  # (batch, 17, 17, 192)
            [self.branch7_narrow, self.branch7_row, self.branch7_column],  # (batch, 17, 17, 192)
            # (batch, 17, 17, 192)
            [
                self.double_narrow,
                self.double_column1,
                self.double_row1,
                self.double_column2,
                self.double_row2,
            ],
            [self.pool, self.branch_pool],  # (batch, 17, 17, 192)
        )


class Reduction17(BranchedModule):
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
        return self._concatenate(
            x,
            [self.branch3_narrow, self.branch3],  # (batch, 8, 8, 320)
            # (batch, 8, 8, 192)
            [self.branch7_narrow, self.branch7_row, self.branch7_column, self.branch7],
            [MaxPool()],  # (batch, 8, 8, in_features)
        )


class Module8(BranchedModule):
    """Branches that split into a row and a column of 3 at their end (figure 7): 2,048 channels."""

    def __init__(self, in_features: int, conv: MakeConv, pool: AveragePool):
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
        return self._concatenate(
            x,
            [self.branch1],  # (batch, 8, 8, 320)
            # (batch, 8, 8, 384 + 384)
            [self.branch3_narrow, (self.branch3_row, self.branch3_column)],
            # (batch, 8, 8, 384 + 384)
            [self.double_narrow, self.double, (self.double_row, self.double_column)],
            [self.pool, self.branch_pool],  # (batch, 8, 8, 192)
        )


class LinearHead(nnx.Module):
    """Mean over the grid, dropout, dense: (batch, h, w, c) -> (batch,), or (batch, classes)."""

    def __init__(self, in_features: int, classes: int, rate: float, rngs: nnx.Rngs):
        self.logit = nnx.Linear(in_features, classes, rngs=rngs)
        self.rate = rate

    def __call__(self, x: Array, dropout_keys: Array | None = None) -> Array:
        wide = jnp.promote_types(x.dtype, jnp.float32)
        x = jnp.mean(x, axis=(1, 2), dtype=wide)  # (batch, c)
        x = dropout(x, self.rate, dropout_keys)
        logits = self.logit(x)  # (batch, classes)
        return logits[:, 0] if logits.shape[1] == 1 else logits


class AuxiliaryHead17(nnx.Module):
    """Average pool 5x5/3, 1x1 of 128, 5x5 of 768, dense, on the last 17 x 17 grid.

    On a smaller grid the pool covers at most the whole grid, and the 5x5 convolution at most what
    the pool leaves. `pool` and `window` hold the resulting sizes.
    """

    def __init__(self, in_features: int, grid: int, classes: int, conv: MakeConv, rngs: nnx.Rngs):
        self.pool = min(5, grid)
        self.window = min(5, (grid - self.pool) // 3 + 1)
        self.narrow = conv(in_features, 128, (1, 1))
        self.conv = conv(128, 768, (self.window, self.window), padding="VALID")
        self.classifier = LinearHead(768, classes, 0.0, rngs)
        self.grid = grid

    @property
    def remark(self) -> str:
        """How far this head deviates from the published one, for the summary; "" if it does not."""
        if self.pool == self.window == 5:
            return ""
        return (
            f"on a grid of {self.grid} x {self.grid} it pools {self.pool} x {self.pool} and its "
            f"convolution is {self.window} x {self.window}; both are 5 x 5 from 17 x 17 on"
        )

    def __call__(self, x: Array) -> Array:
        x = pools.average_pool(x, (self.pool, self.pool), (3, 3))  # (batch, 5, 5, in_features)
        x = self.narrow(x)  # (batch, 5, 5, 128)
        x = self.conv(x)  # (batch, 1, 1, 768)
        return self.classifier(x)
