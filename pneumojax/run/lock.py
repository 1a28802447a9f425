"""Locks a run folder, so that one process at a time trains in it."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pneumojax.errors import UserError

NAME = ".lock"


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds an existing folder for this process; the lock ends with the process.

    The lock is the system's, on the open file `.lock`, so nothing has to be cleaned up after a
    kill. It holds between machines if their shared file system supports that: NFS from version 4
    on, and Lustre when it is mounted with `flock`.
    """
    path = workdir / NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.ELOOP:
            target = os.path.realpath(path)
            reason = f"it is a link to {target!r}, and nothing is written through links"
        raise UserError(f"--workdir: cannot write {str(path)!r}: {reason}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise UserError(
                f"--workdir: {str(workdir)!r} is in use by process {holder or 'unknown'}; wait for "
                "it, stop it, or name another folder"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} on {os.uname().nodename}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
