"""Digests of a checkpoint's arrays and the seal of its metadata, which reveal damage.

Format 2 adds two fields to the metadata: "format", and "seal", the SHA-256 of the canonical JSON
of all other fields. These include the digests of the arrays, so one seal covers the whole
checkpoint. It guards against damage and not against forgery: whoever rewrites a checkpoint can
compute a new seal.
"""

import hashlib
import json
from typing import Any

import jax
import numpy as np

STORED_AS = ("float16", "float32", "bfloat16", "float64")  # types of arrays on the disk
FORMAT = 2
# Every field that versions before format 2 wrote. Metadata without a seal but with any other field
# is damaged: otherwise flipped bits in the names "format" and "seal" would make it look old.
_EARLIER = frozenset(
    [
        "config",
        "preprocessing",
        "class_names",
        "films",
        "synthetic",
        "decision",
        "scope",
        "versions",
        "epoch",
        "figures",
        "best",
        "step",
        "digests",
        "layout",
        "stored_as",
        "decision_of_validation",
        "films_source",
        "release",
    ]
)


def sealed(meta: dict[str, Any]) -> dict[str, Any]:
    """Metadata as JSON returns it, with its format and its seal."""
    plain = json.loads(json.dumps(meta)) | {"format": FORMAT}
    plain.pop("seal", None)
    return plain | {"seal": _digest(plain)}


def check_seal(meta: Any) -> bool:
    """Whether metadata has a seal; early versions wrote none. Raises ValueError for damage."""
    if not isinstance(meta, dict):
        raise ValueError("the metadata is not a JSON object")
    if "format" not in meta and "seal" not in meta:
        if unknown := sorted(meta.keys() - _EARLIER):
            raise ValueError(f"the metadata has an unknown field {unknown[0]!r}")
        return False
    rest = {key: value for key, value in meta.items() if key != "seal"}
    if meta.get("seal") != _digest(rest):
        raise ValueError("the metadata is not what was saved")
    if type(meta.get("format")) is not int or meta["format"] != FORMAT:
        raise ValueError(f"the metadata is of format {meta.get('format')!r}, not {FORMAT}")
    return True


def _digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(meta, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


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
