"""Begins a run in its folder, changes its config later, and locks the folder while it trains."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from pneumojax.config.check import check
from pneumojax.config.flat import accepted_changes
from pneumojax.errors import UserError
from pneumojax.fields import Field, is_group, list_of, read_record
from pneumojax.files import refuse_links_out, write_json
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.stored_config import LOCK, read_config
from pneumojax.terminal import say

CHANGES = "changes.json"


def begin(workdir: Path, config: ConfigDict, may_change: frozenset[str] = frozenset()) -> None:
    """Makes the folder of a run, or updates the fields that may change in an existing run."""
    if claim(workdir, config, may_change):
        take_changes(workdir, config, may_change)
    else:
        write_json(workdir / "config.json", config.to_dict())


def claim(workdir: Path, config: ConfigDict, may_change: frozenset[str] = frozenset()) -> bool:
    """Makes the folder, or checks that it is empty or holds a run; returns whether it does.

    Refuses a wrong config, a run whose config differs in more than `may_change`, links that lead
    out of the folder, and other files.
    """
    check(config)
    refuse_links_out(workdir)
    if (workdir / "config.json").exists():
        accepted_changes(read_config(workdir), config, may_change, str(workdir))
        return True
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        # A process that was killed in `begin` may have left these.
        ours = (LOCK, ".config.json.")
        occupied = any(not path.name.startswith(ours) for path in workdir.iterdir())
    except OSError as error:
        raise UserError(
            f"cannot make {str(workdir)!r}: {error.strerror}", flag="workdir"
        ) from error
    if occupied:
        raise UserError(
            f"{str(workdir)!r} holds files but no run; name another folder", flag="workdir"
        )
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
    say(f"changed after epoch {epoch}: {'; '.join(map(str, changes))}")


def read_changes(workdir: Path) -> list[dict[str, Any]]:
    """The entries of changes.json, the earliest first; none if the config never changed."""
    path = workdir / CHANGES
    if not path.exists():
        return []
    fields = (Field(("changes",), list_of(is_group), "a list of objects"),)
    return read_record(path, fields)["changes"]


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds an existing folder for this process; the lock ends with the process.

    The lock is the system's, on the open file `.lock`, so nothing has to be cleaned up after a
    kill. It holds between machines if their shared file system supports that: NFS from version 4
    on, and Lustre when it is mounted with `flock`.
    """
    path = workdir / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.ELOOP:
            target = os.path.realpath(path)
            reason = f"it is a link to {target!r}, and nothing is written through links"
        raise UserError(f"cannot write {str(path)!r}: {reason}", flag="workdir") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise UserError(
                f"{str(workdir)!r} is in use by process {holder or 'unknown'}; wait for "
                "it, stop it, or name another folder",
                flag="workdir",
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
