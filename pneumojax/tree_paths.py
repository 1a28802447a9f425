"""Nested dicts of arrays as flat ones by path, and back.

`flax.traverse_util` does the same, but importing Flax takes half a second, and a start that finds
its traced programs stored needs nothing else of it.
"""

from collections.abc import Mapping
from typing import Any

import jax


def by_path(tree: Mapping[Any, Any]) -> dict[tuple, Any]:
    """{"a": {0: x}} -> {("a", 0): x}, in the order of `jax.tree.leaves`; empty dicts are lost."""
    return {
        tuple(part.key for part in path): leaf for path, leaf in jax.tree.leaves_with_path(tree)
    }


def nested(flat: Mapping[tuple, Any]) -> dict[Any, Any]:
    """The inverse of `by_path`."""
    tree: dict = {}
    for (*folders, last), leaf in flat.items():
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = leaf
    return tree
