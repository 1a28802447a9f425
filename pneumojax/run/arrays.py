"""Trees of arrays as a checkpoint stores them: their type, and digests of layout and contents."""

import hashlib
from typing import Any

import jax
import numpy as np

STORED_AS = ("float16", "float32", "bfloat16", "float64")


def cast(tree: Any, dtype: str) -> Any:
    """A tree's arrays in another type, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)


def layout(tree: Any) -> str:
    """SHA-256 of the places, types and shapes of a tree's arrays."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        total.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}\n".encode())
    return total.hexdigest()


def digest(tree: Any) -> str:
    """SHA-256 of every array of a tree, with its place, type and shape."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
