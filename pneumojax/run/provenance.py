"""Writes and reads provenance.json: versions, devices, command, revision and films of a run."""

import hashlib
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from pneumojax.data.naming import films_field
from pneumojax.data.splits import Splits
from pneumojax.errors import UserError
from pneumojax.fields import Field, is_group, is_text, list_of, mapping_of, optional, read_record
from pneumojax.files import write_json
from pneumojax.run.film_list import write_films
from pneumojax.run.stored_config import is_synthetic

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "pillow")
# Digests of the films of each split; null for a split without films.
FINGERPRINTS = (
    Field(("films",), mapping_of(optional(is_text)), "an object of texts or null", False),
    Field(("films", "train"), is_text, "text"),
    Field(("films", "validation"), optional(is_text), "text or null"),
)
PROVENANCE = (
    Field(("films",), is_group, "an object"),
    *FINGERPRINTS,
    Field(("versions",), mapping_of(is_text), "an object of texts"),
    Field(("devices",), list_of(is_text), "a list of texts"),
    Field(("command",), list_of(is_text), "a list of texts"),
    Field(("platform",), is_text, "text"),
    Field(("revision",), is_text, "text"),
)


def write_provenance(workdir: Path, splits: Splits, config: ConfigDict) -> None:
    """Records the films and the surroundings of a run that begins."""
    path = workdir / "provenance.json"
    now = provenance(config) | {"films": splits.fingerprint, "audit": splits.audit.as_dict()}
    if config.data.table:
        contents = Path(config.data.table).read_bytes()
        now["table"] = {
            "path": config.data.table,
            "sha256": hashlib.sha256(contents).hexdigest(),
        }
    if not path.exists():
        write_films(workdir, splits)
        write_json(path, now)
        return
    before = read_provenance(workdir)
    if before["films"] != now["films"]:
        raise UserError(
            f"{films_field(config)}: the films have changed since {str(workdir)!r} began "
            f"({before['films']} -> {now['films']}); restore them or name another run folder"
        )


def read_provenance(workdir: Path) -> dict[str, Any]:
    """The record that `write_provenance` wrote."""
    return read_record(workdir / "provenance.json", PROVENANCE)


def provenance(config: ConfigDict) -> dict[str, Any]:
    """Versions, devices, command and source revision of this process."""
    return {
        "synthetic": is_synthetic(config),
        "versions": versions(),
        "devices": [str(device) for device in jax.devices()],
        "platform": platform.platform(),
        "command": sys.argv,
        "revision": _revision(),
    }


def versions() -> dict[str, str]:
    """The versions of Python and of every package that results depend on."""
    installed = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | installed


def _revision() -> str:
    """The checkout's commit, or "unknown" outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return result.stdout.strip() or "unknown"
