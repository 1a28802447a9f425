"""The worker's side of a contest: it reads questions and writes answers, one JSON line each.

This module imports the standard library alone, so that any environment can run a worker.
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

# Takes options. Returns facts about the contestant, and a function that plays once and returns its
# seconds.
Contest = Callable[[dict[str, Any]], tuple[dict[str, Any], Callable[[], float]]]


def serve(contests: Mapping[str, Contest]) -> None:
    """Answers `{"prepare": contest, ...options}` and then any number of `{"round": true}`.

    A round is the median of several plays; the option `repeats` says how many (1 by default).
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
                seconds = statistics.median(play() for _ in range(repeats))
                answer = {"seconds": seconds, "peak_bytes": peak_bytes()}
        except Exception as error:  # a library may raise anything, and its error is the answer
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), file=answers, flush=True)


def peak_bytes() -> int:
    """Returns the peak memory of this process so far, without its child processes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def timed(work: Callable[[], Any]) -> float:
    """Runs `work` and returns its seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
