"""Runs the branches of an Inception module in few operations.

A module lists its branches layer by layer. This file computes them with three shortcuts, which
change nothing but the order of sums:

- The 1x1 convolutions that several branches begin with become one wider convolution.
- A 1x1 convolution after an average pool joins them, and the pool moves after it. Either order
  gives the same result, since one works over positions and the other over channels, and the pool
  is left with fewer channels.
- Bias or norm and activation of the branches' last layers are applied once, to all of them. This
  halves the batch-norm operations of Inception-v3, which makes a start from the compilation cache
  faster.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array, lax

from pneumojax.nn.layers import AveragePool, Conv, activate, convolve, split_channels

# A branch is a list of layers (arrays to arrays), each of which takes the result of the one before
# it. It may end in a tuple of convolutions, which all take that result.
Branch = Sequence[Any]
_SINGLE, _LONGER, _AVERAGED, _POOL = range(4)  # kinds of branches, in the order of their channels


class BranchedModule(nnx.Module):
    """Base of modules whose branches see the same input and are concatenated over channels.

    fused: takes the shortcuts. `module.set_attributes(fused=False)` turns them off, and every
        layer is then called on its own.
    """

    fused = True

    def _concatenate(self, x: Array, *branches: Branch) -> Array:
        """Runs each branch on `x` (batch, h, w, channels) and concatenates the results.

        The convolutions must agree in norm, activation and dtype. Branches come in this order:
        single 1x1 convolutions, other branches of convolutions, average pools before a 1x1
        convolution, and branches that are only a pool.

        Raises:
            ValueError: the branches come in another order.
        """
        kinds = [_kind(branch) for branch in branches]
        if kinds != sorted(kinds):
            raise ValueError("the branches are not in the order that BranchedModule asks for")
        if not self.fused:
            return jnp.concatenate([_run(branch, x) for branch in branches], axis=-1)
        groups: tuple[list[Any], ...] = ([], [], [], [])
        for kind, branch in zip(kinds, branches, strict=True):
            groups[kind].append(branch)
        return _run_fused(x, *groups)


def _kind(branch: Branch) -> int:
    if len(branch) == 1 and not isinstance(branch[0], Conv | tuple):
        return _POOL
    if len(branch) == 1 and _is_1x1(branch[0]):
        return _SINGLE
    if len(branch) == 2 and isinstance(branch[0], AveragePool) and _is_1x1(branch[1]):
        return _AVERAGED
    return _LONGER


def _is_1x1(layer: object) -> bool:
    return isinstance(layer, Conv) and (*layer.kernel.shape[:2], *layer.strides) == (1, 1, 1, 1)


def _run(branch: Branch, x: Array) -> Array:
    """Runs a branch layer by layer."""
    for layer in branch:
        if isinstance(layer, tuple):
            x = jnp.concatenate([conv(x) for conv in layer], axis=-1)
        else:
            x = layer(x)
    return x


def _run_fused(
    x: Array,
    single: list[tuple[Conv]],
    longer: list[Branch],
    averaged: list[tuple[AveragePool, Conv]],
    pools: list[Branch],
) -> Array:
    # One operation computes all 1x1 convolutions of x; single branches have nothing else.
    narrow = [branch[0] for branch in longer if _is_1x1(branch[0])]
    starts, averages = _run_first([*(conv for (conv,) in single), *narrow], averaged, x)
    results, starts = starts[: len(single)], starts[len(single) :]

    # Longer branches run up to the convolutions that they end in.
    last: list[Conv] = []
    inputs: list[Array] = []
    for branch in longer:
        value, layers = (starts.pop(0), branch[1:]) if _is_1x1(branch[0]) else (x, branch)
        value = _run(layers[:-1], value)
        convs = layers[-1] if isinstance(layers[-1], tuple) else (layers[-1],)
        last += convs
        inputs += [value] * len(convs)

    # Bias or norm and activation of those ends are one operation for all branches.
    if last or averaged:
        convolved = [convolve([conv], value) for conv, value in zip(last, inputs, strict=True)]
        last += [conv for _, conv in averaged]
        results.append(activate(last, jnp.concatenate([*convolved, *averages], axis=-1)))
    return jnp.concatenate([*results, *(_run(pool, x) for pool in pools)], axis=-1)


def _run_first(
    convs: list[Conv], averaged: list[tuple[AveragePool, Conv]], x: Array
) -> tuple[list[Array], list[Array]]:
    """Convolves `x` by all of `convs` and `averaged` at once; activates the former alone."""
    if not convs and not averaged:
        return [], []
    pooled = [conv for _, conv in averaged]
    x = convolve([*convs, *pooled], x)
    if not averaged:
        return split_channels(convs, activate(convs, x)), []
    widths = [sum(conv.out_features for conv in convs), *(conv.out_features for conv in pooled)]
    x, *narrow = lax.split(x, widths, axis=-1)
    results = split_channels(convs, activate(convs, x)) if convs else []
    return results, [pool(part) for (pool, _), part in zip(averaged, narrow, strict=True)]
