"""The seed's network: a small Inception with factorized convolutions and an auxiliary head."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from pneumojax.errors import UserError
from pneumojax.nn import pools
from pneumojax.nn.blocks import (
    AuxiliaryHead,
    Conv,
    InceptionModule,
    MainHead,
    Widths,
    check_activation,
)
from pneumojax.nn.normalisation import as_input, check_normalise

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
        activation: a name in `ops.ACTIVATIONS`, behind every convolution.
        normalise: a name in `NORMALISATIONS`, what becomes of grey levels in [0, 1].
        heads: which of `HEADS` to build. "main", where present, is the one that predicts.
        auxiliary_after: modules, counted from 0, behind which an auxiliary head sits; -1 is the
            last. The logits of the second one are called "auxiliary2".
        dropout: share of the 128 hidden units dropped in each head in training.
        dtype: what the network computes in; parameters and logits are at least float32.
        block: the class stacked behind the stem, called as `block(in_features, widths, ...)`.
        rngs: with a `params` stream, for the initial values.

    Raises:
        UserError: a head, norm or activation that does not exist, or films too small for a head.
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
        activation: str = "relu",
        normalise: str = "unit",
        heads: Sequence[str] = ("auxiliary",),
        auxiliary_after: Sequence[int] = (-1,),
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
        last = len(modules)  # maps are counted from the stem's
        if any(place != -1 and not 0 <= place < last for place in auxiliary_after):
            raise UserError(
                f"config.model.auxiliary_after is {tuple(auxiliary_after)}: the modules are 0 to "
                f"{last - 1}, and -1 is the last."
            )
        behind = [last if place == -1 else place + 1 for place in auxiliary_after]
        if "main" not in heads and behind != [last]:
            raise UserError(
                f"config.model.auxiliary_after is {tuple(auxiliary_after)}: without a main head "
                "the auxiliary one predicts, and sits behind the last module."
            )
        grids = [(((image_size - 3) // 2 + 1 - 2) - 3) // 2 + 1]
        for place in range(len(modules)):
            grids.append((grids[-1] - 3) // 2 + 1 if place in pools else grids[-1])
        needed = [grids[place] - 4 for place in behind if "auxiliary" in heads]
        if min([grids[-1], *needed]) < 1:
            raise UserError(
                f"config.data.image_size is {image_size}: too small, a grid of "
                f"{max(grids[-1], 0)} is left of it; the main head needs 1, an auxiliary one 5."
            )
        options: dict[str, Any] = {
            "norm": norm,
            "activation": check_activation(activation),
            "dtype": dtype,
            "rngs": rngs,
        }
        conv: Callable[..., Conv] = partial(Conv, **options)
        self.stem1 = conv(channels, stem[0], (3, 3), stride=2, padding="VALID")
        self.stem2 = conv(stem[0], stem[1], (3, 3), padding="VALID")
        self.stem3 = conv(stem[1], stem[2], (3, 3))
        self.modules: nnx.List = nnx.List([])
        features = [stem[2]]
        for widths in modules:
            self.modules.append(block(features[-1], widths, **options))
            features.append(self.modules[-1].out_features)
        built = {}  # by name, which of `stages` a head takes
        if "main" in heads:
            self.main_head = MainHead(features[-1], dropout=dropout, dtype=dtype, rngs=rngs)
            built["main"] = last
        for count, place in enumerate(behind if "auxiliary" in heads else ()):
            name = "auxiliary" if count == 0 else f"auxiliary{count + 1}"
            grid = (grids[place], grids[place])
            head = AuxiliaryHead(features[place], grid, dropout=dropout, **options)
            setattr(self, f"{name}_head", head)
            built[name] = place
        self.heads = tuple(built.items())
        self.pools = tuple(pools)
        self.normalise = check_normalise(normalise)
        self.channels = channels
        self.dtype = dtype

    def stages(self, images: Array) -> list[Array]:
        """Feature maps (batch, h', w', c) behind the stem and behind each module.

        At 150 pixels with the default widths the last ones are (batch, 35, 35, 320).
        """
        x = as_input(images, self.normalise, self.channels, self.dtype)
        x = self.stem3(self.stem2(self.stem1(x)))  # (batch, 72, 72, 64)
        x = pools.max_pool(x, (3, 3), (2, 2))  # (batch, 35, 35, 64)
        maps = [x]
        for place, module in enumerate(self.modules):
            if place in self.pools:
                x = pools.max_pool(x, (3, 3), (2, 2))
            x = module(x)
            maps.append(x)
        return maps

    def features(self, images: Array) -> Array:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> the last feature maps."""
        return self.stages(images)[-1]

    def __call__(self, images: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> {head: logits (batch,)}.

        With `dropout_keys` (batch,), one for each film, units are dropped; without, none is.
        """
        maps = self.stages(images)
        return {name: self._head(name, maps[place], dropout_keys) for name, place in self.heads}

    def logits(self, x: Array) -> dict[str, Array]:
        """The last feature maps, as `features` gives them -> logits of the heads behind them."""
        last = len(self.modules)
        return {name: self._head(name, x, None) for name, at in self.heads if at == last}

    def _head(self, name: str, x: Array, keys: Array | None) -> Array:
        # The main head has place 0 even where it is not built: masks stay what they are beside it.
        names = [name for name, _ in self.heads]
        place = names.index(name) + ("main" not in names)
        keys = None if keys is None else _folded(keys, place)
        return getattr(self, f"{name}_head")(x, keys)


def _folded(keys: Array, place: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, place))(keys)


def count_parameters(params: dict) -> int:
    """Number of scalars in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
