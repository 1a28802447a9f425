"""One process at a time in a run folder."""

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
    """Holds the folder, which exists, for this process; the lock ends with it, however it ends.

    The system's lock on the open file `.lock` is what counts, not that the file is there, so
    nothing has to be cleaned up after a kill. It holds between machines where their shared file
    system does: NFS from version 4 on, Lustre when mounted with `flock`.

    Raises:
        UserError: another process holds it; or the folder cannot be written.
    """
    path = workdir / NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.ELOOP:
            reason = f"it is a link to {os.path.realpath(path)!r}, through which nothing is written"
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
