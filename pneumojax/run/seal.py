"""The seal of a checkpoint's metadata: a digest that reveals damage.

Format 2 adds two fields to the metadata: "format", and "seal", the SHA-256 of the canonical JSON
of all other fields. These include the digests of the arrays, so one seal covers the whole
checkpoint. It guards against damage and not against forgery: whoever rewrites a checkpoint can
compute a new seal.
"""

import hashlib
import json
from typing import Any

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
    """Whether the metadata has a seal; False for metadata of an earlier version.

    Raises:
        ValueError: it is not what was saved, or of a later format.
    """
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
