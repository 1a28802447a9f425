"""A contestant's side of a contest: asked over standard input, answers in lines of JSON.

Nothing but the standard library is imported here, so that any environment can run a worker.
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

# From options to what the contestant says of itself and a function that plays one round, seconds.
Contest = Callable[[dict[str, Any]], tuple[dict[str, Any], Callable[[], float]]]


def serve(contests: dict[str, Contest]) -> None:
    """Answers `{"prepare": contest, ...options}` and then any number of `{"round": true}`.

    A round is the median of as many plays as the option `repeats` says, one by default.
    What libraries print goes to standard error. Called with the arguments `startup` and options as
    JSON, it trains one step and answers: process start to that answer is the caller's to measure.
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
                assert play is not None, "a round before it was prepared"
                seconds = statistics.median(play() for _ in range(repeats))
                answer = {"seconds": seconds, "peak_bytes": peak_bytes()}
        except Exception as error:  # whatever a library raises is the answer
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), file=answers, flush=True)


def peak_bytes() -> int:
    """The most memory this process has had so far, without that of processes it started."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
