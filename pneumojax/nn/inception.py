"""The seed's network: a small Inception with factorized convolutions and an auxiliary head."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from pneumojax.errors import UserError
from pneumojax.nn import ops
from pneumojax.nn.as_input import as_input, check_normalise
from pneumojax.nn.blocks import AuxiliaryHead, Conv, InceptionModule, MainHead, Widths

HEADS = ("main", "auxiliary")
NORMS = ("none", "batch")


class Inception(nnx.Module):
    """Stem, Inception modules, one or both heads: images in [0, 1] -> logits.

    With the defaults and only the auxiliary head it is what the original experiment trained, of
    1,176,297 parameters. Attribute names are the names in checkpoints.

    Args:
        image_size: height and width of the films, in pixels.
        channels: channels the stem takes; a grey film is repeated to fill them.
        stem: widths of the stem's three 3x3 convolutions (stride 2 valid; valid; same).
        modules: widths of each Inception module, see `InceptionModule`.
        pools: modules, counted from 0, before which a 3x3 max pool of stride 2 halves the grid.
        norm: one of `NORMS`, behind every convolution.
        normalise: a name in `NORMALISATIONS`, what becomes of grey levels in [0, 1].
        heads: which of `HEADS` to build. "main", where present, is the one that predicts.
        dropout: share of the 128 hidden units dropped in each head in training.
        dtype: what the network computes in; parameters and logits are at least float32.
        block: the class stacked behind the stem, called as `block(in_features, widths, ...)`.
        rngs: with a `params` stream, for the initial values.

    Raises:
        UserError: a head that does not exist, or films too small for the auxiliary head.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int = 3,
        stem: Sequence[int] = (32, 32, 64),
        modules: Sequence[Widths] = ((64, 48, 64, 8, 16, 32), (128, 64, 96, 16, 32, 64)),
        pools: Sequence[int] = (),
        norm: str = "none",
        normalise: str = "unit",
        heads: Sequence[str] = ("auxiliary",),
        dropout: float = 0.5,
        dtype: DTypeLike = jnp.float32,
        block: Callable[..., InceptionModule] = InceptionModule,
        rngs: nnx.Rngs,
    ):
        if not heads or set(heads) - set(HEADS):
            raise UserError(f"config.model.heads is {tuple(heads)}: one or both of {HEADS}.")
        if norm not in NORMS:
            raise UserError(f"config.model.norm is {norm!r}: use one of {', '.join(NORMS)}.")
        if set(pools) - set(range(len(modules))):
            raise UserError(
                f"config.model.pools is {tuple(pools)}: the modules are 0 to {len(modules) - 1}."
            )
        grid = (((image_size - 3) // 2 + 1 - 2) - 3) // 2 + 1
        for _ in pools:
            grid = (grid - 3) // 2 + 1
        needed = 5 if "auxiliary" in heads else 1
        if grid < needed:
            raise UserError(
                f"config.data.image_size is {image_size}: too small, a grid of {max(grid, 0)} is "
                f"left of it and the heads need {needed}."
            )
        conv = partial(Conv, norm=norm, dtype=dtype, rngs=rngs)
        self.stem1 = conv(channels, stem[0], (3, 3), stride=2, padding="VALID")
        self.stem2 = conv(stem[0], stem[1], (3, 3), padding="VALID")
        self.stem3 = conv(stem[1], stem[2], (3, 3))
        self.modules: nnx.List = nnx.List([])
        features = stem[2]
        for widths in modules:
            self.modules.append(block(features, widths, norm=norm, dtype=dtype, rngs=rngs))
            features = self.modules[-1].out_features
        if "main" in heads:
            self.main_head = MainHead(features, dropout=dropout, dtype=dtype, rngs=rngs)
        if "auxiliary" in heads:
            self.auxiliary_head = AuxiliaryHead(
                features, (grid, grid), dropout=dropout, norm=norm, dtype=dtype, rngs=rngs
            )
        self.pools = tuple(pools)
        self.normalise = check_normalise(normalise)
        self.channels = channels
        self.dtype = dtype

    def features(self, images: Array) -> Array:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> feature maps (batch, h', w', c).

        At 150 pixels with the default widths: (batch, 35, 35, 320).
        """
        x = as_input(images, self.normalise, self.channels, self.dtype)
        x = self.stem3(self.stem2(self.stem1(x)))  # (batch, 72, 72, 64)
        x = ops.max_pool(x, (3, 3), (2, 2))  # (batch, 35, 35, 64)
        for place, module in enumerate(self.modules):
            if place in self.pools:
                x = ops.max_pool(x, (3, 3), (2, 2))
            x = module(x)
        return x

    def __call__(self, images: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> {head: logits (batch,)}.

        With `dropout_keys` (batch,), one for each film, units are dropped; without, none is.
        """
        return self.logits(self.features(images), dropout_keys)

    def logits(self, x: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """Feature maps (batch, h', w', c), as `features` gives them -> {head: logits (batch,)}."""
        logits = {}
        for place, head in enumerate(HEADS):
            if hasattr(self, f"{head}_head"):
                keys = None if dropout_keys is None else _folded(dropout_keys, place)
                logits[head] = getattr(self, f"{head}_head")(x, keys)
        return logits


def _folded(keys: Array, place: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, place))(keys)


def count_parameters(params: dict) -> int:
    """Number of scalars in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
