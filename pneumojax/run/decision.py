"""Stores the decision of a run whose decision rule changed after training.

A checkpoint holds the decision that was fitted in training. When `config.decision` changes later,
evaluation fits it again on the validation films and keeps it in decision.json.
"""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax.config.flat import flatten
from pneumojax.fields import Field, is_group, is_text, read_record
from pneumojax.files import write_json
from pneumojax.run.agreement import decision_fields
from pneumojax.run.stored_config import completed

NAME = "decision.json"
_FIELDS = (
    Field(("rule",), is_group, "an object"),
    Field(("params",), is_text, "text"),
    *decision_fields("decision"),
)


def current_decision(
    workdir: Path, config: ConfigDict, meta: dict[str, Any]
) -> dict[str, Any] | None:
    """The decision of a checkpoint under the run's config; None if it has to be fitted first."""
    trained, rule = meta["decision"], flatten(config.decision)
    could_fit = trained["rule"] != "default"
    if not could_fit or flatten(completed(meta["config"]).decision) == rule:
        return trained
    path = workdir / NAME
    if not path.exists():
        return None
    record = read_record(path, _FIELDS)
    is_current = record["rule"] == rule and record["params"] == meta["digests"]["params"]
    return record.get("decision") if is_current else None


def write_decision(
    workdir: Path, config: ConfigDict, meta: dict[str, Any], decision: dict[str, Any]
) -> None:
    """Writes a decision that was fitted by the config's rule for a checkpoint's parameters."""
    record = {
        "rule": flatten(config.decision),
        "params": meta["digests"]["params"],
        "decision": decision,
    }
    write_json(workdir / NAME, record)
