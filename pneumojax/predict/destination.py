"""The file that predictions are written to: a regular one, and held by one process at a time."""

import contextlib
import errno
import fcntl
import itertools
import os
import stat
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.files import failing_clearly

# Files of these look regular and are the system's: reading some waits, writing some changes it.
_OF_THE_SYSTEM = (Path("/proc"), Path("/sys"))


def user_path(name: str, flag: str) -> Path:
    """The absolute path that a user names, links followed.

    Raises:
        UserError: "~name" of a user whom the system does not know, or no path at all.
    """
    try:
        return Path(name).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{flag}: {name!r} is no path: {error}") from error


def check_destination(path: Path) -> None:
    """Checks, without opening it, that predictions can go to `path`, which is resolved.

    Raises:
        UserError: it is a folder, a pipe, a device or the like, or a file of the system.
    """
    with failing_clearly(path, "--output"):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise UserError(f"--output: {str(path)!r} is a folder; name a file in it")
    if not stat.S_ISREG(mode) or any(map(path.is_relative_to, _OF_THE_SYSTEM)):
        raise UserError(f"--output: {str(path)!r} is no regular file; name another")


def open_alone(path: Path) -> int:
    """Opens or makes the file, and holds it for this process until the descriptor is closed.

    The system's lock on the file itself is what counts, so nothing is left after a kill. It holds
    between machines where their shared file system keeps locks.

    Raises:
        UserError: as `check_destination`, another process holds it, or it cannot be written.
    """
    check_destination(path)
    with failing_clearly(path, "--output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # It may have become a pipe or a device since: O_NONBLOCK does not wait for its other end.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(path, flags, 0o644)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"--output: {str(path)!r} is no regular file; name another")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"--output: {str(path)!r} is being written by {_holder(status)}; wait for it, "
                "stop it, or name another file"
            ) from error
        except OSError as error:
            # A file system without locks is no reason to refuse every prediction.
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_new(folder: Path) -> Path:
    """Makes the first `predictions.csv`, `predictions-2.csv`, ... that no other process has.

    Raises:
        UserError: the folder cannot be written.
    """
    for number in itertools.count(1):
        path = folder / ("predictions.csv" if number == 1 else f"predictions-{number}.csv")
        with failing_clearly(path, "--output"):
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.touch(exist_ok=False)
                break
    return path


def _holder(status: os.stat_result) -> str:
    """The process that holds the lock of a file, as far as Linux tells."""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            # "1: FLOCK  ADVISORY  WRITE 4242 08:02:131091 0 EOF"; 0 is a process of elsewhere.
            fields = line.split()
            if fields[1] == "FLOCK" and device in fields and fields[4] != "0":
                return f"process {fields[4]}"
    return "another process"
