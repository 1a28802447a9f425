"""The worker's side of a contest: it reads questions and writes answers, one JSON line each.

This module imports the standard library alone, so that any environment can run a worker.
"""

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Takes options. Returns facts about the contestant, and a function that plays once and returns its
# seconds.
Contest = Callable[[dict[str, Any]], tuple[dict[str, Any], Callable[[], float]]]


def serve(contests: Mapping[str, Contest]) -> None:
    """Answers `{"prepare": contest, ...options}` and then any number of `{"round": true}`.

    A round is a number of plays in a row, the option `repeats` (1 by default). The answer holds the
    seconds of each, and what the system counted in the first and in the others. `{"busy": seconds}`
    plays for so long and answers with nothing.
    Output that libraries print goes to standard error. With the command-line arguments `startup`
    and options as JSON, the worker trains one step and answers; the caller measures the time.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if sys.argv[1:2] == ["startup"]:
        options = {"batch": 64, "size": 150, "warm_up": 1, "startup": True}
        facts, _ = contests["train_step"](options | json.loads(sys.argv[2]))
        print(json.dumps(facts | {"peak_bytes": peak_bytes()}), file=answers, flush=True)
        return
    play: Callable[[], float] | None = None
    repeats = 1
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "prepare" in question:
                answer, play = contests[question["prepare"]](question)
                repeats = question.get("repeats", 1)
            else:
                assert play is not None, "a round was asked for before it was prepared"
                if "busy" in question:
                    until = time.perf_counter() + question["busy"]
                    while time.perf_counter() < until:
                        play()
                    answer = {}
                else:
                    answer = _round(play, repeats)
        except Exception as error:  # a library may raise anything, and its error is the answer
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), file=answers, flush=True)


def _round(play: Callable[[], float], repeats: int) -> dict[str, Any]:
    before = _counted()
    first = play()
    between = _counted()
    later = [play() for _ in range(repeats - 1)]
    after = _counted()
    return {
        "seconds": [first, *later],
        "first": {name: between[name] - before[name] for name in before},
        "later": {name: after[name] - between[name] for name in before},
        "huge_pages": _huge_pages(),
        "peak_bytes": peak_bytes(),
    }


def _counted() -> dict[str, float]:
    """What the system has counted for this process since its start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "system_seconds": used.ru_stime,
        "page_faults": used.ru_minflt + used.ru_majflt,
        "waits": used.ru_nvcsw,  # switches to another thread because this one had to wait
        "preemptions": used.ru_nivcsw,
        "migrations": _migrations(),
    }


def _migrations() -> int:
    """How often Linux has moved a thread of this process to another core; 0 if it does not say."""
    total = 0
    for path in Path("/proc/self/task").glob("*/sched"):
        try:
            found = re.search(r"nr_migrations\s*:\s*(\d+)", path.read_text())
        except OSError:  # the thread has ended
            continue
        total += int(found[1]) if found else 0
    return total


def _huge_pages() -> int:
    """Bytes of this process that lie in pages of 2 MB."""
    path = Path("/proc/self/smaps_rollup")
    found = path.exists() and re.search(r"AnonHugePages:\s*(\d+) kB", path.read_text())
    return 1024 * int(found[1]) if found else 0


def peak_bytes() -> int:
    """Returns the peak memory of this process so far, without its child processes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def timed(work: Callable[[], Any]) -> float:
    """Runs `work` and returns its seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
