"""Inception-v3: Szegedy et al. 2015, arXiv 1512.00567, as Keras and torchvision built it.

The paper's table 1 differs in places. It has seven convolutions in the stem, the fifth one of
3x3 and stride 2 where both libraries pool; it names the grids 35, 17 and 8 as they come out of a
padded stem; and it says nothing of the widths inside of modules, which are the libraries'.
Numbers in names of blocks are the grids at 299 pixels.
"""

from collections.abc import Sequence
from functools import partial

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from pneumojax.errors import UserError
from pneumojax.nn import pools
from pneumojax.nn.blocks import Conv, check_activation, dropout
from pneumojax.nn.inception_v3_modules import (
    MakeConv,
    Module8,
    Module17,
    Module35,
    Reduction17,
    Reduction35,
)
from pneumojax.nn.normalisation import as_input, check_normalise

HEADS = ("main", "auxiliary")
SMALLEST = 75  # pixels; below nothing is left of the 8 x 8 grid


class Classifier(nnx.Module):
    """Mean over the grid, dropout, dense: (batch, h, w, c) -> logits, see `InceptionV3`."""

    def __init__(self, in_features: int, classes: int, rate: float, rngs: nnx.Rngs):
        self.logit = nnx.Linear(in_features, classes, rngs=rngs)
        self.rate = rate

    def __call__(self, x: Array, dropout_keys: Array | None = None) -> Array:
        wide = jnp.promote_types(x.dtype, jnp.float32)
        x = dropout(jnp.mean(x, axis=(1, 2), dtype=wide), self.rate, dropout_keys)
        logits = self.logit(x)
        return logits[:, 0] if logits.shape[1] == 1 else logits


class AuxiliaryHead(nnx.Module):
    """Average pool 5x5/3, 1x1 of 128, 5x5 of 768, dense, on the last 17 x 17 grid.

    On a smaller grid the pool takes the whole of it, and on what is left of a small one the 5x5
    convolution shrinks likewise: `pool` and `window` say to what.
    """

    def __init__(self, in_features: int, grid: int, classes: int, conv: MakeConv, rngs: nnx.Rngs):
        self.pool = min(5, grid)
        self.window = min(5, (grid - self.pool) // 3 + 1)
        self.narrow = conv(in_features, 128, (1, 1))
        self.conv = conv(128, 768, (self.window, self.window), padding="VALID")
        self.classifier = Classifier(768, classes, 0.0, rngs)
        self.grid = grid

    @property
    def remark(self) -> str:
        """For the summary: what became of the published pool and kernel on this grid."""
        if self.pool == self.window == 5:
            return ""
        return (
            f"on a grid of {self.grid} x {self.grid} it pools {self.pool} x {self.pool} and its "
            f"convolution is {self.window} x {self.window}; both are 5 x 5 from 17 x 17 on"
        )

    def __call__(self, x: Array) -> Array:
        x = pools.average_pool(x, (self.pool, self.pool), (3, 3))
        return self.classifier(self.conv(self.narrow(x)))


class InceptionV3(nnx.Module):
    """Inception-v3: images in [0, 1] -> logits, (batch,) of one class, else (batch, classes).

    With the defaults, 1,000 classes and no auxiliary head it is Keras's, of 23,851,784 parameters
    with running statistics.

    Args:
        image_size: height and width of the films, at least `SMALLEST` pixels.
        channels: channels the stem takes; a grey film is repeated to fill them.
        classes: logits of each head; 1 where the question is pneumonia or not.
        stem: widths of the stem's five convolutions.
        pools35: width behind the pool of each module on the 35 x 35 grid.
        widths17: width of the 7x7 branches of each module on the 17 x 17 grid.
        modules8: how many modules stand on the 8 x 8 grid.
        heads: "main", and "auxiliary" beside it for training.
        activation: a name in `ops.ACTIVATIONS`, behind every convolution.
        norm_scale: batch norm learns a scale, as torchvision's does and Keras's does not.
        pool_counts_padding: average pools count what lies outside as 0, as torchvision's do.
        dropout: share of the 2,048 features dropped in training.
        normalise: a name in `NORMALISATIONS`.
        dtype: what the network computes in; parameters and logits are at least float32.
        rngs: with a `params` stream.

    Raises:
        UserError: a head or an activation that does not exist, or films too small.
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
        if "main" not in heads or set(heads) - set(HEADS):
            raise UserError(
                f"config.model.heads is {tuple(heads)}: 'main', and if wanted 'auxiliary'."
            )
        if image_size < SMALLEST:
            raise UserError(
                f"config.data.image_size is {image_size}: Inception-v3 needs {SMALLEST} or more."
            )
        conv = partial(
            Conv,
            norm="batch",
            scale=norm_scale,
            activation=check_activation(activation),
            dtype=dtype,
            rngs=rngs,
        )
        pool = partial(
            pools.average_pool,
            window=(3, 3),
            strides=(1, 1),
            padding="SAME",
            count_padding=pool_counts_padding,
        )
        self.stem1 = conv(channels, stem[0], (3, 3), stride=2, padding="VALID")
        self.stem2 = conv(stem[0], stem[1], (3, 3), padding="VALID")
        self.stem3 = conv(stem[1], stem[2], (3, 3))
        self.stem4 = conv(stem[2], stem[3], (1, 1), padding="VALID")
        self.stem5 = conv(stem[3], stem[4], (3, 3), padding="VALID")
        self.modules: nnx.List = nnx.List([])
        features = stem[4]
        for pool_features in pools35:
            features = self._add(Module35(features, pool_features, conv, pool))
        features = self._add(Reduction35(features, conv))
        for width in widths17:
            features = self._add(Module17(features, width, conv, pool))
        if "auxiliary" in heads:
            grid = grids(image_size)[1]
            self.auxiliary_head = AuxiliaryHead(features, grid, classes, conv, rngs)
        features = self._add(Reduction17(features, conv))
        for _ in range(modules8):
            features = self._add(Module8(features, conv, pool))
        self.main_head = Classifier(features, classes, dropout, rngs)
        self.before_reduction = len(pools35) + 1 + len(widths17)
        self.normalise = check_normalise(normalise)
        self.channels = channels
        self.dtype = dtype

    def _add(self, module: Module35 | Reduction35 | Module17 | Reduction17 | Module8) -> int:
        self.modules.append(module)
        return module.out_features

    def stages(self, images: Array) -> list[Array]:
        """Feature maps (batch, h', w', c) behind the stem and behind each module."""
        x = as_input(images, self.normalise, self.channels, self.dtype)
        x = self.stem3(self.stem2(self.stem1(x)))
        x = pools.max_pool(x, (3, 3), (2, 2))
        x = pools.max_pool(self.stem5(self.stem4(x)), (3, 3), (2, 2))
        maps = [x]
        for module in self.modules:
            maps.append(module(maps[-1]))
        return maps

    def features(self, images: Array) -> Array:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> the last feature maps (batch, ...)."""
        return self.stages(images)[-1]

    def __call__(self, images: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """Images (batch, h, w, 1 or channels) in [0, 1] -> {head: logits}.

        With `dropout_keys` (batch,), one for each film, features are dropped; without, none is.
        """
        maps = self.stages(images)
        logits = self.logits(maps[-1], dropout_keys)
        if hasattr(self, "auxiliary_head"):
            logits["auxiliary"] = self.auxiliary_head(maps[self.before_reduction])
        return logits

    def logits(self, x: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """The last feature maps, as `features` gives them -> {"main": logits}."""
        return {"main": self.main_head(x, dropout_keys)}


def grids(image_size: int) -> tuple[int, int, int]:
    """Sides of the three grids: 35, 17 and 8 at 299 pixels."""
    half = ((image_size - 3) // 2 + 1 - 2 - 3) // 2 + 1
    first = (half - 2 - 3) // 2 + 1
    second = (first - 3) // 2 + 1
    return first, second, (second - 3) // 2 + 1
