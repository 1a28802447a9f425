"""The name of a config's run folder, and the absolute path of its films."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from configs import base
from pneumojax.config.check import wrong_value
from pneumojax.config.flat import flatten
from pneumojax.config.rules import NAMED_SETS
from pneumojax.errors import UserError


def resolve(config: ConfigDict) -> ConfigDict:
    """A copy whose `data.root` is absolute, so that it means the same films from any folder."""
    config = config.copy_and_resolve_references()
    if config.data.root not in NAMED_SETS:
        try:
            config.data.root = str(Path(config.data.root).expanduser().resolve())
        except (ValueError, RuntimeError, OSError) as error:
            reason = f"it is not a path ({error})"
            raise UserError(wrong_value("data.root", config.data.root, reason)) from error
    return config


def run_name(config: ConfigDict) -> str:
    """`<name>-<8 hex digits>` of a resolved config, for the default run folder.

    The digits are a digest of the fields that differ from `configs/base.py`. A new field with its
    default therefore leaves the names of earlier runs as they are. A field that is renamed must
    keep its old name here.
    """
    defaults = flatten(base.get_config())
    changed = {
        name: value
        for name, value in flatten(config).items()
        if name not in defaults or defaults[name] != value
    }
    return f"{config.name}-{_digest(changed)}"


def earlier_run_name(config: ConfigDict) -> str:
    """The name of the default run folder in earlier versions, with a digest of all fields."""
    return f"{config.name}-{_digest(flatten(config))}"


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]
