"""The README's tables of results. Each file in records/results is one measured run.

`tools/record_run.py` writes such a file. It holds one object: config, films, command, hardware,
versions, history (the epoch lines of metrics.jsonl), validation (metrics.json of evaluation/val)
and wall_seconds of the whole command.
"""

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.docs.marks import table
from tools.docs.places import RESULTS

KEYS: dict[str, type | tuple[type, ...]] = {
    "config": str,
    "films": str,
    "command": str,
    "hardware": str,
    "versions": dict,
    "history": list,
    "validation": dict,
    "wall_seconds": (int, float),
}
FIGURES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auroc": "AUROC",
    "accuracy": "accuracy",
}
SCORED = ("config", "films", "scored on", *FIGURES.values())
TRAINED = ("config", "films", "training accuracy by epoch", "seconds per step", "whole run, m:ss",
           "hardware")  # fmt: skip


def load(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Reads {file name: result}, sorted by name.

    Raises:
        ValueError: a file is not JSON, lacks a key, has an unknown key, or is not of validation.
    """
    rows = {}
    for path in sorted(folder.glob("*.json")):
        row = json.loads(path.read_text())
        if row.keys() != KEYS.keys():
            raise ValueError(f"{path}: the keys differ in {sorted(row.keys() ^ KEYS.keys())}")
        wrong = [key for key, kind in KEYS.items() if not isinstance(row[key], kind)]
        if wrong or not row["history"]:
            raise ValueError(f"{path}: {wrong or 'history'} is of the wrong type or empty")
        if row["validation"]["split"] != "val":
            raise ValueError(f"{path}: only validation is shown, not {row['validation']['split']}")
        rows[path.name] = row
    return rows


def rendered() -> str:
    """Renders the stored results."""
    return render(load())


def render(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Renders one table of validation and one of training."""
    names = {name: f"[{row['config']}](records/results/{name})" for name, row in rows.items()}
    scored = [
        [
            names[name],
            row["films"],
            _split(row["validation"]),
            *(_figure(row["validation"][key]) for key in FIGURES),
        ]
        for name, row in rows.items()
    ]
    trained = [
        [
            names[name],
            row["films"],
            ", ".join(f"{line['train_accuracy']:.3f}" for line in row["history"]),
            f"{statistics.median(line['seconds_per_step'] for line in row['history']):.2f}",
            f"{int(row['wall_seconds']) // 60}:{int(row['wall_seconds']) % 60:02d}",
            row["hardware"],
        ]
        for name, row in rows.items()
    ]
    return (
        table(SCORED, scored)
        + "\nIn brackets: 95 % intervals, Wilson's for shares of films and DeLong's for AUROC. "
        "Both take films as independent; each linked file has the bootstrap over patients "
        "beside them.\n\n" + table(TRAINED, trained)
    )


def _split(validation: Mapping[str, Any]) -> str:
    patients = f" of {validation['patients']:,} patients" if validation["patients_known"] else ""
    return f"validation, {validation['n']:,} films{patients}"


def _figure(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "undefined"
    if figure["low"] is None:
        return f"{figure['value']:.3f} (no interval)"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
