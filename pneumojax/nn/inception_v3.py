"""Inception-v3: Szegedy et al. 2015, arXiv 1512.00567, as Keras and torchvision built it.

The paper's table 1 differs from both libraries in three ways. Its stem has seven convolutions, of
which the fifth is 3x3 with stride 2 where the libraries pool. It gives the grids as 35, 17 and 8,
which only a padded stem yields. And it leaves out the widths inside the modules, which here are
those of the libraries.
"""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from pneumojax.nn import ops, pools
from pneumojax.nn.inception_v3_modules import (
    AuxiliaryHead17,
    LinearHead,
    Module8,
    Module17,
    Module35,
    Reduction17,
    Reduction35,
)
from pneumojax.nn.layers import NORMALISATIONS, AveragePool, Conv, check_known, network_input

HEADS = ("main", "auxiliary")
SMALLEST = 75  # pixels; a smaller film leaves nothing for the third grid


class InceptionV3(nnx.Module):
    """Inception-v3: images in [0, 1] -> logits, (batch,) of one class, else (batch, classes).

    With the defaults but 1,000 classes it is Keras's network, which has 23,851,784 parameters,
    running statistics included. It ends at the last grid that has modules: with `widths17` () and
    `modules8` 0 it is the stem and the modules on the first grid, of 1.0 million parameters.

    Args:
        image_size: height and width of the films, at least `SMALLEST` pixels.
        channels: channels of the stem's input; a grey film is repeated to fill them.
        classes: logits of each head; 1 for pneumonia or not.
        stem: widths of the stem's five convolutions.
        pools35: width after the pool in each module on the 35 x 35 grid.
        widths17: width of the 7x7 branches of each module on the 17 x 17 grid.
        modules8: number of modules on the 8 x 8 grid.
        heads: "main", and optionally "auxiliary" beside it for training.
        activation, normalise: names in `ops.ACTIVATIONS` and `NORMALISATIONS`.
        norm_scale: batch norm learns a scale, as in torchvision and not in Keras.
        pool_counts_padding: average pools count the zeros outside of the film, as in torchvision.
        dropout: share of the last features that is dropped in training.
        dtype: type that the network computes in; parameters and logits are at least float32.

    Raises:
        ValueError: a head, activation or normalisation that does not exist, an auxiliary head
            without a second grid, or films too small.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int = 3,
        classes: int = 1,
        stem: Sequence[int] = (32, 32, 64, 80, 192),
        pools35: Sequence[int] = (32, 64, 64),
        widths17: Sequence[int] = (128, 160, 160, 192),
        modules8: int = 2,
        heads: Sequence[str] = ("main",),
        activation: str = "relu",
        norm_scale: bool = False,
        pool_counts_padding: bool = False,
        dropout: float = 0.2,
        normalise: str = "symmetric",
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        if "auxiliary" in heads and not widths17:
            raise ValueError("heads has 'auxiliary', which needs modules on the second grid")
        if "main" not in heads or set(heads) - set(HEADS):
            raise ValueError(f"heads is {tuple(heads)}: use 'main', alone or with 'auxiliary'")
        if image_size < SMALLEST:
            raise ValueError(f"image_size is {image_size}: Inception-v3 needs {SMALLEST} or more")
        check_known("activation", activation, ops.ACTIVATIONS)
        check_known("normalise", normalise, NORMALISATIONS)
        conv = partial(
            Conv, norm="batch", scale=norm_scale, activation=activation, dtype=dtype, rngs=rngs
        )
        pool = AveragePool(count_padding=pool_counts_padding)

        self.stem1 = conv(channels, stem[0], (3, 3), stride=2, padding="VALID")
        self.stem2 = conv(stem[0], stem[1], (3, 3), padding="VALID")
        self.stem3 = conv(stem[1], stem[2], (3, 3))
        self.stem4 = conv(stem[2], stem[3], (1, 1), padding="VALID")
        self.stem5 = conv(stem[3], stem[4], (3, 3), padding="VALID")

        self.modules: nnx.List = nnx.List([])
        features = stem[4]
        for pool_features in pools35:
            features = self._append(Module35(features, pool_features, conv, pool))
        if widths17 or modules8:
            features = self._append(Reduction35(features, conv))
        for width in widths17:
            features = self._append(Module17(features, width, conv, pool))
        self.before_reduction = len(self.modules)  # in `stages`, the map of the auxiliary head
        if "auxiliary" in heads:
            grid = grids(image_size)[1]
            self.auxiliary_head = AuxiliaryHead17(features, grid, classes, conv, rngs)
        if modules8:
            features = self._append(Reduction17(features, conv))
        for _ in range(modules8):
            features = self._append(Module8(features, conv, pool))

        self.main_head = LinearHead(features, classes, dropout, rngs)
        self.normalise = normalise
        self.channels = channels
        self.dtype = dtype

    def _append(self, module: Module35 | Reduction35 | Module17 | Reduction17 | Module8) -> int:
        self.modules.append(module)
        return module.out_features

    def stages(self, images: Array) -> list[Array]:
        """Feature maps (batch, h', w', c) after the stem and after each module."""
        x = network_input(images, self.normalise, self.channels, self.dtype)
        x = self.stem1(x)  # (batch, 149, 149, 32)
        x = self.stem2(x)  # (batch, 147, 147, 32)
        x = self.stem3(x)  # (batch, 147, 147, 64)
        x = pools.max_pool(x, (3, 3), (2, 2))  # (batch, 73, 73, 64)
        x = self.stem4(x)  # (batch, 73, 73, 80)
        x = self.stem5(x)  # (batch, 71, 71, 192)
        x = pools.max_pool(x, (3, 3), (2, 2))  # (batch, 35, 35, 192)
        maps = [x]
        for module in self.modules:  # with modules on all grids to (batch, 8, 8, 2048)
            maps.append(module(maps[-1]))
        return maps

    def features(self, images: Array) -> Array:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> the last feature maps (batch, ...)."""
        return self.stages(images)[-1]

    def __call__(self, images: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> {head: logits}.

        `dropout_keys` (batch,) holds one key for each film; without keys nothing is dropped.
        """
        maps = self.stages(images)
        logits = self.logits(maps[-1], dropout_keys)
        if hasattr(self, "auxiliary_head"):
            logits["auxiliary"] = self.auxiliary_head(maps[self.before_reduction])
        return logits

    def logits(self, x: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """{"main": logits} from the last feature maps; `x` is the result of `features`."""
        return {"main": self.main_head(x, dropout_keys)}


def grids(image_size: int) -> tuple[int, int, int]:
    """Sides of the three grids: 35, 17 and 8 at 299 pixels."""
    stem = ((image_size - 3) // 2 + 1 - 2 - 3) // 2 + 1  # after the first pool
    first = (stem - 2 - 3) // 2 + 1
    second = (first - 3) // 2 + 1
    return first, second, (second - 3) // 2 + 1
