"""The child process of one tracker: passes requests to the tracker's own library.

Command: python -m pneumojax.tracking.worker

It reads requests from standard input and answers each with a line of JSON: {} or {"error": reason}.
After an error it ends. Libraries may print anything, so their output goes to standard error, where
it cannot be taken for an answer.
"""

import json
import os
import signal
import sys
from typing import BinaryIO

from pneumojax.tracking.messages import Begin, End, Keep, Records, decode_request, reason_of
from pneumojax.tracking.tracker import Outcome, Tracker

_SECONDS_AFTER_A_KILL = 30  # to say that the run was killed, before this process ends itself


def main() -> None:
    """Serves requests until the last one, or until the training process ends."""
    # The training process alone decides when this one ends; a job's signals go to both.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, _take_output()
    try:
        _serve(requests, answers)
    except BrokenPipeError:
        pass  # nobody waits for the answer any more
    except Exception as error:  # a library may raise anything
        _answer(answers, {"error": reason_of(error)})
    # Threads of a library that still wait for a server must not delay the end.
    os._exit(0)


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    tracker = None
    for line in requests:
        match decode_request(line):
            case Begin() as begin:
                tracker = _open(begin)
            case Records(records):
                assert tracker is not None
                for record in records:
                    tracker.write(record)
                tracker.flush()
            case Keep(name, paths):
                assert tracker is not None
                tracker.keep(name, paths)
            case End(outcome):
                assert tracker is not None
                tracker.close(outcome)
                _answer(answers, {})
                return
        _answer(answers, {})
    signal.alarm(_SECONDS_AFTER_A_KILL)
    if tracker is not None:
        tracker.close(Outcome.KILLED)


def _open(begin: Begin) -> Tracker:
    if begin.tracker == "mlflow":
        from pneumojax.tracking.mlflow_run import MlflowRun

        return MlflowRun(begin)
    from pneumojax.tracking.wandb_run import WandbRun

    return WandbRun(begin)


def _take_output() -> BinaryIO:
    """The pipe for answers; everything printed from now on goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _answer(answers: BinaryIO, answer: dict[str, str]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
