"""The child process: runs one task after another, under limits that it sets for itself.

Command: python -m pneumojax.isolation.worker <limits as JSON> <task to import ahead> ...

It reads requests from standard input and answers on standard output. Both are moved to other
descriptors first, so that a decoder that prints cannot break an answer. The process ends as soon as
its input ends, even during a task, since that means that its parent has ended.

The number of processes is not limited, since RLIMIT_NPROC counts all processes of the user.
"""

import contextlib
import json
import math
import os
import resource
import select
import signal
import sys
import threading
import time
from typing import Any, BinaryIO

from pneumojax.isolation import protocol
from pneumojax.isolation.protocol import Limits


def main(arguments: list[str]) -> None:
    """Serves requests until the input ends."""
    limits = Limits(*json.loads(arguments[0]))
    requests, answers = _take_pipes()
    # The parent alone decides when a child ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from pneumojax.isolation.tasks import find_task

    for name in arguments[1:]:
        find_task(name)
    threading.Thread(target=_end_with, args=(requests.fileno(),), daemon=True).start()
    _limit(limits)
    _send(answers, {"ready": True}, [])
    while (header := _receive_header(requests)) is not None:
        data = requests.read(header["bytes"])
        _allow_seconds(limits)
        _send(answers, *_answer(header, data))


def _answer(header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], list[Any]]:
    from pneumojax.decoding.film_error import FilmError
    from pneumojax.errors import UserError
    from pneumojax.isolation.tasks import find_task

    try:
        values, arrays = find_task(header["task"])(header["arguments"], data)
    except (FilmError, UserError) as error:
        return {"refused": str(error)}, []
    except MemoryError:
        return {"lost": "it needs more memory than a file may take"}, []
    except Exception as error:  # a bug of the task, which must not look like a crash
        return {"lost": f"its decoder failed ({type(error).__name__})"}, []
    return {"values": values, "arrays": protocol.describe_arrays(arrays)}, arrays


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Moves standard input and output to other descriptors, and puts /dev/null in their places."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return requests, answers


def _end_with(requests: int) -> None:
    """Ends this process when the other end of the pipe is closed.

    PR_SET_PDEATHSIG would end it too early, together with the thread that started it. If a decoder
    never lets this thread run, the limit on processor time ends the process.
    """
    poll = select.poll()
    poll.register(requests, 0)  # a hang-up is reported whatever the mask
    poll.poll()
    os._exit(0)


def _limit(limits: Limits) -> None:
    """Sets the limits of the process, as far as the system has them."""
    for name, most in (
        ("RLIMIT_AS", limits.memory),
        ("RLIMIT_NOFILE", limits.files),
        ("RLIMIT_FSIZE", 0),  # no task writes a file
        ("RLIMIT_CORE", 0),
    ):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _allow_seconds(limits: Limits) -> None:
    """Renews the limit on processor time, and an alarm in case the parent hangs."""
    used = time.process_time()
    with contextlib.suppress(ValueError, OSError):
        most = math.ceil(used + limits.cpu)
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_REAL, 2 * limits.wall)


def _receive_header(requests: BinaryIO) -> dict[str, Any] | None:
    """The next header, or None at the end of the input."""
    signal.setitimer(signal.ITIMER_REAL, 0)  # there is no limit on waiting for work
    length = requests.read(protocol.LENGTH.size)
    if len(length) < protocol.LENGTH.size:
        return None
    return protocol.decode_header(requests.read(*protocol.LENGTH.unpack(length)))


def _send(answers: BinaryIO, header: dict[str, Any], arrays: list[Any]) -> None:
    parts = [memoryview(protocol.encode_header(header))]
    parts += [memoryview(array.reshape(-1)).cast("B") for array in arrays if array.size]
    for left in parts:
        while left:
            left = left[answers.write(left) :]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the parent has ended
        main(sys.argv[1:])
