"""Reads metrics.jsonl, the lines that a run writes about its steps and epochs."""

import json
from pathlib import Path
from typing import Any

from pneumojax.errors import UserError
from pneumojax.fields import Field, first_wrong, is_count, is_flag, is_number, is_text, optional

_FIGURE = (optional(is_number), "a finite number or null")
_KINDS = {
    "kind": (is_text, "text"),
    "synthetic": (is_flag, "true or false"),
    "step": (is_count, "a count"),
    "epoch": (is_count, "a count"),
}


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, up to the first one that a kill cut short."""
    lines = []
    if path.exists():
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def read_history(workdir: Path) -> list[dict[str, Any]]:
    """The epochs of a run, oldest first."""
    path = workdir / "metrics.jsonl"
    try:
        history = [line for line in read_lines(path) if line["kind"] == "epoch"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{str(path)!r} does not hold the metrics of a run") from error
    for number, line in enumerate(history, 1):
        names = sorted({"epoch", *line})
        fields = [Field((name,), *_KINDS.get(name, _FIGURE)) for name in names]
        if wrong := first_wrong(line, fields):
            raise UserError(f"{str(path)!r} cannot be used: in line {number} of an epoch, {wrong}")
    return history
