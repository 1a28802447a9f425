"""The blocks of the seed network: convolution unit, Inception module, the two heads.

A block takes its widths as plain arguments and offers `out_features`, so that the next one can be
stacked on it. Parameters are float32; `dtype` is what a block computes in. Layouts and initialisers
are those of Keras (kernels `(rows, columns, in, out)`, Glorot uniform, zero bias), so weights move
between the two without a transpose.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax
from jax.typing import DTypeLike

from pneumojax.errors import UserError
from pneumojax.nn import batch_norm, ops, pools
from pneumojax.nn.batch_norm import BatchNorm

Widths = tuple[int, int, int, int, int, int]
_kernel_init = nnx.initializers.glorot_uniform()


def check_activation(name: str) -> str:
    """The name, if it is one of `ops.ACTIVATIONS`; raises UserError otherwise."""
    if name not in ops.ACTIVATIONS:
        raise UserError(
            f"config.model.activation is {name!r}: use one of {', '.join(ops.ACTIVATIONS)}."
        )
    return name


class Conv(nnx.Module):
    """Convolution, bias or normalisation, and activation.

    Args:
        activation: a name in `ops.ACTIVATIONS`.
        norm: "none", or "batch": batch norm, whose shift takes the place of the bias.
        scale: whether batch norm learns one; a ReLU and a convolution behind it can do without.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        window: ops.Pair,
        *,
        stride: int = 1,
        padding: str = "SAME",
        norm: str = "none",
        scale: bool = True,
        activation: str = "relu",
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.kernel = nnx.Param(_kernel_init(rngs.params(), (*window, in_features, out_features)))
        if norm == "batch":
            self.norm = BatchNorm(out_features, scale=scale, rngs=rngs)
        else:
            self.bias = nnx.Param(jnp.zeros(out_features))
        self.strides = (stride, stride)
        self.padding = padding
        self.activation = activation
        self.dtype = dtype
        self.out_features = out_features

    def __call__(self, x: Array) -> Array:
        return activated([self], convolved([self], x))


def convolved(convs: Sequence[Conv], x: Array) -> Array:
    """Alike convolutions of `x` by themselves, side by side, computed as one wider convolution."""
    first = convs[0]
    kernel = jnp.concatenate([conv.kernel[...] for conv in convs], axis=-1).astype(first.dtype)
    return ops.convolution(x, kernel, first.strides, first.padding)


def activated(convs: Sequence[Conv], x: Array) -> Array:
    """What follows convolutions, whose results lie side by side in `x`, computed as one."""
    first = convs[0]
    # In float32: a bias's gradient is a sum over all positions, which bfloat16 cannot hold.
    if hasattr(first, "norm"):
        x = batch_norm.side_by_side([conv.norm for conv in convs], x)
    else:
        x = x + jnp.concatenate([conv.bias[...] for conv in convs])
    return ops.ACTIVATIONS[first.activation](x.astype(first.dtype))


def side_by_side(convs: Sequence[Conv], x: Array) -> list[Array]:
    """What each of several alike layers makes of `x`."""
    return split(convs, activated(convs, convolved(convs, x)))


def split(convs: Sequence[Conv], together: Array) -> list[Array]:
    """Each layer's own share of channels that lie side by side."""
    return list(lax.split(together, [conv.out_features for conv in convs], axis=-1))


def beside_a_pool(
    convs: Sequence[Conv], pooled: Conv, pool: Callable[[Array], Array], x: Array
) -> tuple[list[Array], Array]:
    """What 1x1 layers make of `x`, and the convolution of `pool(x)` by another one, `pooled`.

    An average is over places and a 1x1 convolution over channels, so either may come first: here
    the one that leaves fewer channels to the other, and one convolution serves all branches.
    """
    together = convolved([*convs, pooled], x)
    others, narrow = lax.split(
        together, [together.shape[-1] - pooled.out_features, pooled.out_features], axis=-1
    )
    return split(convs, activated(convs, others)), pool(narrow)


def concatenated(*branches: tuple[Conv, Array], behind: tuple[Conv, Array] | None = None) -> Array:
    """`conv(x)` of each branch's last layer, concatenated over channels.

    What follows the convolutions is computed for all branches at once: half of the operations of
    Inception-v3's batch norms, which a start from the compilation cache is the quicker for.

    Args:
        behind: a last branch, already convolved by its layer.
    """
    convs = [conv for conv, _ in branches]
    parts = [convolved([conv], x) for conv, x in branches]
    if behind:
        convs.append(behind[0])
        parts.append(behind[1])
    return activated(convs, jnp.concatenate(parts, axis=-1))


class InceptionModule(nnx.Module):
    """Four branches side by side, concatenated over channels; height and width stay.

    The 3x3 and 5x5 branches are factorized into a column and a row (3x1 then 1x3, 5x1 then 1x5:
    Szegedy et al. 2015, arXiv 1512.00567, section 3.2) behind a 1x1 convolution that narrows them.

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
        branch1, branch3, branch5 = side_by_side(
            (self.branch1, self.branch3_narrow, self.branch5_narrow), x
        )
        others = concatenated(
            (self.branch3_row, self.branch3_column(branch3)),
            (self.branch5_row, self.branch5_column(branch5)),
            (self.branch_pool, pools.max_pool(x, (3, 3), (1, 1), "SAME")),
        )
        return jnp.concatenate([branch1, others], axis=-1)


def dropout(x: Array, rate: float, keys: Array | None) -> Array:
    """Zeroes a share of each film's units and scales up the rest; the identity without keys.

    Args:
        x: (batch, units).
        rate: probability of a unit to be dropped.
        keys: (batch,), one for each film, so that its mask depends on nothing beside it.
    """
    if keys is None or rate == 0:
        return x
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(kept, x / (1 - rate), 0)


class _Classifier(nnx.Module):
    """Dense 128 with ReLU, dropout, dense 1: what both heads end in."""

    def __init__(self, in_features: int, dropout: float, dtype: DTypeLike, rngs: nnx.Rngs):
        dense = partial(nnx.Linear, kernel_init=_kernel_init, rngs=rngs)
        self.hidden = dense(in_features, 128, dtype=dtype)
        self.dropout = dropout
        self.logit = dense(128, 1, dtype=jnp.promote_types(dtype, jnp.float32))

    def __call__(self, x: Array, dropout_keys: Array | None) -> Array:
        x = dropout(ops.relu(self.hidden(x)), self.dropout, dropout_keys)
        return self.logit(x)[:, 0]


class MainHead(nnx.Module):
    """Global average pool, then the classifier: (batch, h, w, c) -> logits (batch,)."""

    def __init__(
        self, in_features: int, *, dropout: float, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        self.classifier = _Classifier(in_features, dropout, dtype, rngs)

    def __call__(self, x: Array, dropout_keys: Array | None = None) -> Array:
        return self.classifier(jnp.mean(x, axis=(1, 2)), dropout_keys)


class AuxiliaryHead(nnx.Module):
    """Average pool 5x5/3, 1x1 convolution, flatten, classifier: (batch, h, w, c) -> (batch,).

    Args:
        grid: height and width of the input, at least 5 each; the flattened width follows from it.
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
        pooled = [(side - 5) // 3 + 1 for side in grid]
        self.classifier = _Classifier(pooled[0] * pooled[1] * 64, dropout, dtype, rngs)

    def __call__(self, x: Array, dropout_keys: Array | None = None) -> Array:
        x = self.narrow(pools.average_pool(x, (5, 5), (3, 3)))
        return self.classifier(jax.lax.collapse(x, 1), dropout_keys)
