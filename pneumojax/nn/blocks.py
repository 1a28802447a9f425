"""The Inception module and the heads of the small network.

A block takes its widths as plain arguments and offers `out_features`, so that the next one can be
stacked on it.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from pneumojax.nn import ops, pools
from pneumojax.nn.branches import BranchedModule
from pneumojax.nn.layers import Conv, MaxPool, dropout, kernel_init

Widths = tuple[int, int, int, int, int, int]


class InceptionModule(BranchedModule):
    """Four branches side by side, concatenated over channels; height and width stay.

    The 3x3 and 5x5 convolutions are factorized into a column and a row (Szegedy et al. 2015, arXiv
    1512.00567, section 3.2), after a 1x1 convolution that narrows their input.

    Args:
        in_features: channels of the input.
        widths: (f1, f2_in, f2_out, f3_in, f3_out, f4): 1x1 branch; 3x3 branch before and after;
            5x5 branch before and after; 1x1 after the max pool.
    """

    def __init__(
        self,
        in_features: int,
        widths: Widths,
        *,
        norm: str = "none",
        activation: str = "relu",
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        f1, f2_in, f2_out, f3_in, f3_out, f4 = widths
        conv = partial(Conv, norm=norm, activation=activation, dtype=dtype, rngs=rngs)
        self.branch1 = conv(in_features, f1, (1, 1))
        self.branch3_narrow = conv(in_features, f2_in, (1, 1))
        self.branch3_column = conv(f2_in, f2_out, (3, 1))
        self.branch3_row = conv(f2_out, f2_out, (1, 3))
        self.branch5_narrow = conv(in_features, f3_in, (1, 1))
        self.branch5_column = conv(f3_in, f3_out, (5, 1))
        self.branch5_row = conv(f3_out, f3_out, (1, 5))
        self.branch_pool = conv(in_features, f4, (1, 1))
        self.out_features = f1 + f2_out + f3_out + f4

    def __call__(self, x: Array) -> Array:
        return self._concatenate(
            x,
            [self.branch1],  # (batch, h, w, f1)
            [self.branch3_narrow, self.branch3_column, self.branch3_row],  # (batch, h, w, f2_out)
            [self.branch5_narrow, self.branch5_column, self.branch5_row],  # (batch, h, w, f3_out)
            [MaxPool(strides=(1, 1), padding="SAME"), self.branch_pool],  # (batch, h, w, f4)
        )


class _HiddenClassifier(nnx.Module):
    """Dense 128 with ReLU, dropout, dense 1: the end of both heads."""

    def __init__(self, in_features: int, dropout: float, dtype: DTypeLike, rngs: nnx.Rngs):
        dense = partial(nnx.Linear, kernel_init=kernel_init, rngs=rngs)
        self.hidden = dense(in_features, 128, dtype=dtype)
        self.dropout = dropout
        self.logit = dense(128, 1, dtype=jnp.promote_types(dtype, jnp.float32))

    def __call__(self, x: Array, dropout_keys: Array | None) -> Array:
        x = ops.relu(self.hidden(x))  # (batch, 128)
        x = dropout(x, self.dropout, dropout_keys)
        return self.logit(x)[:, 0]  # (batch,)


class MainHead(nnx.Module):
    """Global average pool, then the classifier: (batch, h, w, c) -> logits (batch,)."""

    def __init__(
        self, in_features: int, *, dropout: float, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        self.classifier = _HiddenClassifier(in_features, dropout, dtype, rngs)

    def __call__(self, x: Array, dropout_keys: Array | None = None) -> Array:
        x = jnp.mean(x, axis=(1, 2))  # (batch, c)
        return self.classifier(x, dropout_keys)


class AuxiliaryHead(nnx.Module):
    """Average pool 5x5/3, 1x1 convolution, flatten, classifier: (batch, h, w, c) -> (batch,).

    Args:
        grid: height and width of the input, at least 5 each, which decide the flattened width.
    """

    def __init__(
        self,
        in_features: int,
        grid: ops.Pair,
        *,
        dropout: float,
        norm: str = "none",
        activation: str = "relu",
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        conv = partial(Conv, norm=norm, activation=activation, dtype=dtype, rngs=rngs)
        self.narrow = conv(in_features, 64, (1, 1))
        height, width = ((side - 5) // 3 + 1 for side in grid)
        self.classifier = _HiddenClassifier(height * width * 64, dropout, dtype, rngs)

    def __call__(self, x: Array, dropout_keys: Array | None = None) -> Array:
        x = pools.average_pool(x, (5, 5), (3, 3))  # (batch, (h - 5) // 3 + 1, (w - 5) // 3 + 1, c)
        x = self.narrow(x)  # (batch, (h - 5) // 3 + 1, (w - 5) // 3 + 1, 64)
        x = jax.lax.collapse(x, 1)  # (batch, all positions x 64)
        return self.classifier(x, dropout_keys)
