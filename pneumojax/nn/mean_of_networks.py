"""Several networks as one, each at its own film size: the mean of their calibrated logits.

Networks that were trained apart, from other weights and on films of other sizes, err on other
films, so their mean ranks films better than each of them. Unlike an ensemble of runs the mean is
one network, with one checkpoint, one decision and one exported file.
"""

import functools
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from pneumojax.nn.inception import Inception
from pneumojax.nn.inception_v3 import InceptionV3
from pneumojax.nn.layers import check_known

# A fixed list: a config that comes with weights from elsewhere must not name code to import.
KINDS = {"Inception": Inception, "InceptionV3": InceptionV3}
# The errors of arguments that a stranger's config may hold: of any type, name and size.
_WRONG = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError)


class MeanOfNetworks(nnx.Module):
    """The mean of the networks' logits, each divided by its own temperature.

    Args:
        image_size: height and width of the films, in pixels.
        networks: the arguments of each network by the network's name. Three are not arguments of
            its class: "kind", a name in `KINDS`; "temperature", which divides its logits; and
            "image_size", at most that of the films, to which films are reduced.
        dtype: type that the networks compute in; parameters and logits are at least float32.

    Raises:
        ValueError: a kind that does not exist, a temperature that is not above 0, a network with
            larger films, or an argument that its class refuses.
    """

    def __init__(
        self,
        *,
        image_size: int,
        networks: Mapping[str, Mapping[str, Any]],
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        built, settings = {}, []
        for name, described in _entries(networks):
            try:
                arguments = dict(described)
                kind, temperature = arguments.pop("kind"), float(arguments.pop("temperature"))
                side = arguments["image_size"]
                check_known("networks", kind, KINDS)
                built[name] = KINDS[kind](dtype=dtype, rngs=rngs, **arguments)
                fits = 0 < temperature < float("inf") and side <= image_size
            except _WRONG as error:
                raise ValueError(f"networks is wrong in {name!r}: {error}") from error
            if not fits:
                raise ValueError(
                    f"networks is wrong in {name!r}: it needs a finite temperature above 0 and "
                    f"films of at most {image_size} pixels, and has {temperature} and {side}"
                )
            settings.append((name, side, temperature))
        if not built:
            raise ValueError("networks is empty: describe one or more")
        self.networks = nnx.Dict(built)
        self.settings = tuple(settings)

    def __call__(self, images: Array, dropout_keys: Array | None = None) -> dict[str, Array]:
        """Images (batch, h, w, 1) in [0, 1] -> {"main": logits (batch,)}.

        `dropout_keys` (batch,) holds one key for each film; without keys nothing is dropped.
        """
        logits = {}
        for number, (name, side, _) in enumerate(self.settings):
            keys = dropout_keys
            if keys is not None:
                keys = jax.vmap(lambda key, n=number: jax.random.fold_in(key, n))(keys)
            logits[name] = self.networks[name](reduced(images, side), keys)
        return self._mean(logits)

    def features(self, images: Array) -> dict[str, Array]:
        """Images (batch, h, w, 1) in [0, 1] -> the last feature maps of each network."""
        return {
            name: self.networks[name].features(reduced(images, side))
            for name, side, _ in self.settings
        }

    def logits(self, features: dict[str, Array]) -> dict[str, Array]:
        """The mean logits on the last feature maps, from the result of `features`."""
        return self._mean({name: self.networks[name].logits(x) for name, x in features.items()})

    def _mean(self, heads: dict[str, dict[str, Array]]) -> dict[str, Array]:
        each = []
        for name, _, temperature in self.settings:
            found = heads[name]
            each.append((found["main"] if "main" in found else found["auxiliary"]) / temperature)
        return {"main": functools.reduce(operator.add, each) / len(each)}


def _entries(networks: Any) -> list[tuple[str, Any]]:
    try:
        return list(networks.items())
    except AttributeError as error:
        raise ValueError("networks is not a group of descriptions by name") from error


def reduced(images: Array, side: int) -> Array:
    """Images (batch, h, h, c) -> (batch, side, side, c), bilinear and antialiased.

    Source: the triangle filter of `jax.image.resize`, as two products with constant matrices, which
    every export can express.
    """
    before = images.shape[1]
    if before == side:
        return images
    with jax.ensure_compile_time_eval():
        weights = np.asarray(jax.image.resize(jnp.eye(before), (side, before), "linear"))
    rows = jnp.einsum("oh,bhwc->bowc", weights, images)
    return jnp.einsum("ow,bhwc->bhoc", weights, rows)
