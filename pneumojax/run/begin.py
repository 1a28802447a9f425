"""Begins a run in its folder, and changes its config later."""

import time
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax.config.changes import accepted_changes
from pneumojax.config.check import check
from pneumojax.errors import UserError
from pneumojax.fields import Field, is_group, list_of, read_record
from pneumojax.files import refuse_links_out, write_json
from pneumojax.run import lock
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.stored_config import read_config

CHANGES = "changes.json"


def begin(workdir: Path, config: ConfigDict, may_change: frozenset[str] = frozenset()) -> None:
    """Makes the folder of a run, or updates the fields that may change in an existing run."""
    if claim(workdir, config, may_change):
        take_changes(workdir, config, may_change)
    else:
        write_json(workdir / "config.json", config.to_dict())


def claim(workdir: Path, config: ConfigDict, may_change: frozenset[str] = frozenset()) -> bool:
    """Makes the folder, or checks that it is empty or holds a run of this config; returns which.

    The run may differ in the fields `may_change`.

    Raises:
        UserError: the config has a wrong value, or the folder cannot be written, holds a run of
            another config, links that lead out of it, or other files.
    """
    check(config)
    refuse_links_out(workdir)
    if (workdir / "config.json").exists():
        accepted_changes(read_config(workdir), config, may_change, str(workdir))
        return True
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        # A process that was killed in `begin` may have left these.
        ours = (lock.NAME, ".config.json.")
        occupied = any(not path.name.startswith(ours) for path in workdir.iterdir())
    except OSError as error:
        raise UserError(f"--workdir: cannot make {str(workdir)!r}: {error.strerror}") from error
    if occupied:
        raise UserError(f"--workdir: {str(workdir)!r} holds files but no run; name another folder")
    return False


def take_changes(workdir: Path, config: ConfigDict, may_change: frozenset[str]) -> None:
    """Updates a run's config to `config`, and records the differences in changes.json.

    The record says after which epoch and step the changes begin, and names the schedule of the
    learning rate: with "cosine", the rate of an extended run jumps to that of the longer schedule.
    """
    changes = accepted_changes(read_config(workdir), config, may_change, str(workdir))
    if not changes:
        return
    newest = Checkpoints(workdir / "checkpoints").newest_meta("latest") or {}
    step, epoch = newest.get("step", 0), newest.get("epoch", 0)
    entry = {
        "fields": [change._asdict() for change in changes],
        "after_step": step,
        "after_epoch": epoch,
        "schedule": config.optimizer.schedule,
    }
    earlier = read_changes(workdir)
    # If a process was killed before it wrote config.json, the changes are recorded already.
    if not earlier or {k: v for k, v in earlier[-1].items() if k != "time"} != entry:
        entry["time"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        write_json(workdir / CHANGES, {"changes": [*earlier, entry]})
    write_json(workdir / "config.json", config.to_dict())
    print(f"changed after epoch {epoch}: {'; '.join(map(str, changes))}")


def read_changes(workdir: Path) -> list[dict[str, Any]]:
    """The entries of changes.json, the earliest first; none if the config never changed."""
    path = workdir / CHANGES
    if not path.exists():
        return []
    fields = (Field(("changes",), list_of(is_group), "a list of objects"),)
    return read_record(path, fields)["changes"]
