"""A contestant's side of a contest: asked over standard input, answers in lines of JSON.

Nothing but the standard library is imported here, so that any environment can run a worker.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

# From options to what the contestant says of itself and a function that plays one round, seconds.
Contest = Callable[[dict[str, Any]], tuple[dict[str, Any], Callable[[], float]]]


def serve(contests: dict[str, Contest]) -> None:
    """Answers `{"prepare": contest, ...options}` and then any number of `{"round": true}`.

    What libraries print goes to standard error. With the one argument `startup`, trains one step
    and ends: process start to first step is the caller's to measure.
    """
    if sys.argv[1:] == ["startup"]:
        contests["train_step"]({"batch": 64, "size": 150, "warm_up": 1})
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    play: Callable[[], float] | None = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "prepare" in question:
                facts, play = contests[question["prepare"]](question)
                answer = facts
            else:
                assert play is not None, "a round before it was prepared"
                seconds = play()
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                answer = {"seconds": seconds, "peak_bytes": peak * 1024}
        except Exception as error:  # whatever a library raises is the answer
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), file=answers, flush=True)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
