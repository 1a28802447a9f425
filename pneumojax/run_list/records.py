"""The run folders below a folder: config, state, films, time and figures of each.

No checkpoint is opened. A folder that cannot be read is listed with its fault.
"""

import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pneumojax.api.figures import Figure, fields_of_figures, figures_in
from pneumojax.config.flat import flatten
from pneumojax.errors import UserError
from pneumojax.fields import Field, is_count, read_record
from pneumojax.files import read_csv
from pneumojax.run.history import read_history, read_lines
from pneumojax.run.stored_config import LOCK, WEIGHTS, read_config

_NON_FINITE = (Field(("step",), is_count, "a count"),)


@dataclass(frozen=True)
class RunRecord:
    """One run folder.

    name: its path below the listed folder, or the folder's own name.
    state: "finished", "published", "running", "interrupted at step <n>", "failed: <why>",
        "not started" or "broken: <why>".
    config: its fields by full name, such as "model.norm".
    films: how many films it trains on; None if the run does not list them.
    seconds: the time of its training steps.
    figures: metrics on its validation films by name; {} before an evaluation.
    """

    folder: Path
    name: str
    state: str
    config: Mapping[str, Any] = field(default_factory=dict)
    films: int | None = None
    seconds: float = 0.0
    figures: Mapping[str, Figure] = field(default_factory=dict)


def find_runs(root: Path) -> list[RunRecord]:
    """Every run folder at or below `root`, by name; raises UserError if there is none."""
    if not root.is_dir():
        raise UserError(f"{str(root)!r} is not a folder; name a folder that holds run folders")
    folders = sorted(_run_folders(root))
    if not folders:
        raise UserError(f"{str(root)!r} holds no run folder (one has a config.json)")
    return [_record(folder, _name(folder, root)) for folder in folders]


def _run_folders(root: Path) -> list[Path]:
    """Folders with a config or with checkpoints; a run's own folders are not searched."""
    found = []
    for path, names, files in os.walk(root):
        lost_its_config = "checkpoints" in names and "metrics.jsonl" in files
        if "config.json" in files or lost_its_config:
            found.append(Path(path))
            folds = [name for name in names if name.startswith("fold-")]
            names[:] = folds
        names[:] = [name for name in names if not name.startswith(".")]
    return found


def _name(folder: Path, root: Path) -> str:
    return root.name if folder == root else str(folder.relative_to(root))


def _record(folder: Path, name: str) -> RunRecord:
    try:
        config = read_config(folder)
        history = read_history(folder)
        return RunRecord(
            folder,
            name,
            _state(folder, history, config.epochs),
            flatten(config),
            _film_count(folder),
            _seconds(history),
            _figures(folder),
        )
    except (UserError, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        return RunRecord(folder, name, f"broken: {reason}")


def _state(folder: Path, history: Sequence[Mapping[str, Any]], epochs: int) -> str:
    if (folder / WEIGHTS).exists():
        return "published"
    done = history[-1]["epoch"] if history else 0
    if done >= epochs or (folder / "evaluation" / "val" / "metrics.json").exists():
        return "finished"  # a run that stops early ends before the last epoch, but is evaluated
    if is_locked(folder):
        return "running"
    lines = read_lines(folder / "metrics.jsonl")
    step = lines[-1]["step"] if lines else 0
    path = folder / "non_finite.json"  # of the step whose numbers ended the training
    wrong = read_record(path, _NON_FINITE)["step"] if path.exists() else 0
    if wrong > step:
        return f"failed: numbers were not finite at step {wrong}"
    return f"interrupted at step {step}" if step else "not started"


def is_locked(folder: Path) -> bool:
    """Whether a process trains in the folder; the file of its lock stays behind when it ends."""
    try:
        with open(folder / LOCK) as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # no lock, or not ours to open
    return False


def _film_count(folder: Path) -> int | None:
    path = folder / "films.csv"
    return sum(row["side"] == "train" for row in read_csv(path)) if path.exists() else None


def _seconds(history: Sequence[Mapping[str, Any]]) -> float:
    before, total = 0, 0.0
    for epoch in history:
        total += (epoch.get("seconds_per_step") or 0.0) * (epoch["step"] - before)
        before = epoch["step"]
    return total


def _figures(folder: Path) -> dict[str, Figure]:
    path = folder / "evaluation" / "val" / "metrics.json"
    return figures_in(read_record(path, fields_of_figures())) if path.exists() else {}
