"""Records of what is known about a network before it is traced."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from pneumojax.tree_paths import by_path, nested

if TYPE_CHECKING:
    from flax import nnx


class Facts(NamedTuple):
    """The shapes of a network's parameters, and whether it explains, without its definition."""

    abstract_params: dict  # as in `Network`
    statistics: frozenset[tuple]
    explains: bool

    def as_json(self) -> dict[str, Any]:
        """The facts as JSON values, for a `TracedStore`."""
        leaves = [
            [path, leaf.shape, leaf.dtype.name]
            for path, leaf in by_path(self.abstract_params).items()
        ]
        statistics = sorted(self.statistics, key=str)
        return {"leaves": leaves, "statistics": statistics, "explains": self.explains}

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "Facts":
        """The inverse of `as_json`."""
        shapes = {
            tuple(path): jax.ShapeDtypeStruct(tuple(shape), jnp.dtype(dtype))
            for path, shape, dtype in stored["leaves"]
        }
        return cls(nested(shapes), frozenset(map(tuple, stored["statistics"])), stored["explains"])


class Built(NamedTuple):
    """A network's definition and what was found while it was made."""

    definition: "nnx.GraphDef"
    facts: Facts
