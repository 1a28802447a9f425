"""The small Inception network: factorized convolutions, a main and an auxiliary head."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from pneumojax.nn import ops
from pneumojax.nn import pools as pooling
from pneumojax.nn.blocks import AuxiliaryHead, InceptionModule, MainHead, Widths
from pneumojax.nn.layers import NORMALISATIONS, Conv, check_known, network_input

HEADS = ("main", "auxiliary")
NORMS = ("none", "batch")


class Inception(nnx.Module):
    """Stem, Inception modules, one or both heads: images in [0, 1] -> logits.

    With the defaults it is the network of the original experiment, which has only the auxiliary
    head and 1,176,297 parameters. Attribute names are the names in checkpoints.

    Args:
        image_size: height and width of the films, in pixels.
        channels: channels of the stem's input; a grey film is repeated to fill them.
        stem: widths of the stem's three 3x3 convolutions (stride 2 valid; valid; same).
        modules: widths of each Inception module, see `InceptionModule`.
        pools: modules, counted from 0, before which a 3x3 max pool of stride 2 halves the grid.
        norm, activation, normalise: names in `NORMS`, `ops.ACTIVATIONS` and `NORMALISATIONS`.
        heads: which of `HEADS` to build. The main head predicts where there is one.
        auxiliary_after: modules, counted from 0, after which an auxiliary head sits; -1 is the
            last. The logits of the second one are called "auxiliary2".
        dropout: share of the 128 hidden units that each head drops in training.
        dtype: type that the network computes in; parameters and logits are at least float32.
        block: the class of the modules, called as `block(in_features, widths, ...)`.

    Raises:
        ValueError: a name or a module that does not exist, or films too small for a head.
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
        check_known("norm", norm, NORMS)
        check_known("activation", activation, ops.ACTIVATIONS)
        check_known("normalise", normalise, NORMALISATIONS)
        auxiliary_maps = _auxiliary_maps(heads, auxiliary_after, len(modules))
        grids = _grids(image_size, len(modules), pools)
        # An auxiliary head pools windows of 5 x 5.
        if min([grids[-1], *(grids[place] - 4 for place in auxiliary_maps)]) < 1:
            raise ValueError(
                f"image_size is {image_size}: too small, a grid of {max(grids[-1], 0)} is left of "
                "it; the main head needs 1, an auxiliary one 5"
            )
        options: dict[str, Any] = dict(norm=norm, activation=activation, dtype=dtype, rngs=rngs)
        conv: Callable[..., Conv] = partial(Conv, **options)
        self.stem1 = conv(channels, stem[0], (3, 3), stride=2, padding="VALID")
        self.stem2 = conv(stem[0], stem[1], (3, 3), padding="VALID")
        self.stem3 = conv(stem[1], stem[2], (3, 3))

        self.modules: nnx.List = nnx.List([])
        features = [stem[2]]
        for widths in modules:
            self.modules.append(block(features[-1], widths, **options))
            features.append(self.modules[-1].out_features)

        map_of_head = {}  # index in `stages`, by the head's name
        if "main" in heads:
            self.main_head = MainHead(features[-1], dropout=dropout, dtype=dtype, rngs=rngs)
            map_of_head["main"] = len(modules)
        for count, place in enumerate(auxiliary_maps, start=1):
            name = "auxiliary" if count == 1 else f"auxiliary{count}"
            grid = (grids[place], grids[place])
            head = AuxiliaryHead(features[place], grid, dropout=dropout, **options)
            setattr(self, f"{name}_head", head)
            map_of_head[name] = place
        self.heads = tuple(map_of_head.items())
        self.pools = tuple(pools)
        self.normalise = normalise
        self.channels = channels
        self.dtype = dtype

    def stages(self, images: Array) -> list[Array]:
        """Feature maps (batch, h', w', c) after the stem and after each module.

        The shapes in the comments are those of 150 pixels and the default widths.
        """
        x = network_input(images, self.normalise, self.channels, self.dtype)
        x = self.stem1(x)  # (batch, 74, 74, 32)
        x = self.stem2(x)  # (batch, 72, 72, 32)
        x = self.stem3(x)  # (batch, 72, 72, 64)
        x = pooling.max_pool(x, (3, 3), (2, 2))  # (batch, 35, 35, 64)
        maps = [x]
        for place, module in enumerate(self.modules):
            if place in self.pools:
                x = pooling.max_pool(x, (3, 3), (2, 2))
            x = module(x)  # (batch, 35, 35, 176), then (batch, 35, 35, 320)
            maps.append(x)
        return maps

    def features(self, images: Array) -> Array:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> the last feature maps."""
        return self.stages(images)[-1]

    def __call__(self, images: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> {head: logits (batch,)}.

        `dropout_keys` (batch,) holds one key for each film; without keys nothing is dropped.
        """
        maps = self.stages(images)
        return {name: self._head(name, maps[place], dropout_keys) for name, place in self.heads}

    def logits(self, x: Array) -> dict[str, Array]:
        """Logits of the heads on the last feature maps; `x` is the result of `features`."""
        last = len(self.modules)
        return {name: self._head(name, x, None) for name, at in self.heads if at == last}

    def _head(self, name: str, x: Array, keys: Array | None) -> Array:
        # Heads are numbered from the main one, even if it is not built, so an auxiliary head drops
        # the same units with and without it.
        names = [name for name, _ in self.heads]
        number = names.index(name) + ("main" not in names)
        if keys is not None:
            keys = jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
        return getattr(self, f"{name}_head")(x, keys)


def _auxiliary_maps(heads: Sequence[str], auxiliary_after: Sequence[int], last: int) -> list[int]:
    """For each auxiliary head the index in `stages` of its feature map; `last` is the last one."""
    if not heads or set(heads) - set(HEADS):
        raise ValueError(f"heads is {tuple(heads)}: use one or both of {HEADS}")
    if any(module != -1 and not 0 <= module < last for module in auxiliary_after):
        raise ValueError(
            f"auxiliary_after is {tuple(auxiliary_after)}: the modules are 0 to {last - 1}, and -1 "
            "is the last"
        )
    found = [last if module == -1 else module + 1 for module in auxiliary_after]
    if "main" not in heads and found != [last]:
        raise ValueError(
            f"auxiliary_after is {tuple(auxiliary_after)}: without a main head the auxiliary one "
            "predicts, and must sit behind the last module"
        )
    return found if "auxiliary" in heads else []


def _grids(image_size: int, modules: int, pools: Sequence[int]) -> list[int]:
    """Sides of the square feature maps in `stages`."""
    if set(pools) - set(range(modules)):
        raise ValueError(f"pools is {tuple(pools)}: the modules are 0 to {modules - 1}")
    sides = [(((image_size - 3) // 2 + 1 - 2) - 3) // 2 + 1]
    for module in range(modules):
        sides.append((sides[-1] - 3) // 2 + 1 if module in pools else sides[-1])
    return sides


def count_parameters(params: dict) -> int:
    """The number of scalars in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
