"""Checks the file that predictions are written to, and locks it against other processes."""

import contextlib
import errno
import fcntl
import itertools
import os
import stat
from pathlib import Path

from pneumojax.errors import UserError
from pneumojax.files import failing_clearly

# Files in these folders look regular, but reading or writing them acts on the system.
_SYSTEM_FOLDERS = (Path("/proc"), Path("/sys"))


def user_path(name: str, flag: str) -> Path:
    """The absolute path that a user names, with links resolved; UserError if it is none."""
    try:
        return Path(name).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{name!r} is not a path: {error}", flag=flag) from error


def check_destination(path: Path) -> None:
    """Refuses a resolved path to a folder, a pipe, a device or a file of the system, unopened."""
    with failing_clearly(path, "output"):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise UserError(f"{str(path)!r} is a folder; name a file in it", flag="output")
    if not stat.S_ISREG(mode) or any(map(path.is_relative_to, _SYSTEM_FOLDERS)):
        raise UserError(f"{str(path)!r} is not a regular file; name another", flag="output")


def open_alone(path: Path) -> int:
    """Opens or creates the file, and locks it until the descriptor is closed.

    The lock is the system's own on that file, so a killed process leaves none behind. It holds
    between machines if their shared file system supports locks. Raises UserError.
    """
    check_destination(path)
    with failing_clearly(path, "output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The path may have become a pipe since the check; opening it would wait for a reader or
        # writer without O_NONBLOCK.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(path, flags, 0o644)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{str(path)!r} is not a regular file; name another", flag="output")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{str(path)!r} is being written by {_holder(status)}; wait for it, stop it, or "
                "name another file",
                flag="output",
            ) from error
        except OSError as error:
            # Without support for locks the file is used unlocked, rather than not at all.
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_new(first: Path, flag: str = "") -> Path:
    """Creates the first of `name.csv`, `name-2.csv`, ... that does not exist, and its folder."""
    for number in itertools.count(1):
        path = first if number == 1 else first.with_stem(f"{first.stem}-{number}")
        with failing_clearly(path, flag):
            first.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.touch(exist_ok=False)
                break
    return path


def _holder(status: os.stat_result) -> str:
    """Names the process that holds the lock of a file, if Linux lists it."""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            # "1: FLOCK  ADVISORY  WRITE 4242 08:02:131091 0 EOF"; process 0 is on another machine.
            fields = line.split()
            if fields[1] == "FLOCK" and device in fields and fields[4] != "0":
                return f"process {fields[4]}"
    return "another process"
